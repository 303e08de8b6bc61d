import { gzipSync } from "node:zlib";
import type { Page, Response } from "playwright-core";
import { describe, expect, it } from "vitest";
import { browser, type Tab } from "./browser";

// The host and its sessions are made by BenchmarkWeb (core/host), which reads the lines that report writes. What each figure is:
// .ci/bench/README.md.
const tabs = browser();
const { url } = tabs;
const given = (name: string) => process.env[name] ?? "";
const key = given("AGCLUSTER_BENCH_KEY");
const long = given("AGCLUSTER_BENCH_LONG");
const busy = given("AGCLUSTER_BENCH_BUSY");
const samples = 7;
/** A preset on the launch page. */
const card = "[role=radio][value=code-assistant]";

const report = (name: string, value: number) => { process.stdout.write(`\nfigure ${name} ${value.toFixed(2)}\n`); };
const at = (values: readonly number[], share: number) => values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? NaN;
const median = (values: readonly number[]) => at(values, 0.5);

/**
 * Tells, from within the page, when what a CSS selector names was painted for the first time: on the console, because whoever waits for that
 * runs nothing in the page. What Playwright waits with takes the page some 100 ms.
 */
function tellPainted(selector: string) {
  const seen = new MutationObserver(() => {
    if (!document.querySelector(selector)) return;
    seen.disconnect();
    // A frame is painted after its callbacks: the task that follows is the first after it.
    requestAnimationFrame(() => setTimeout(() => { console.info(`painted ${performance.now()}`); }, 0));
  });
  seen.observe(document, { childList: true, subtree: true, attributes: true });
}

/** What tellPainted will tell: milliseconds since the navigation began. It must be asked for before that can happen. */
const painted = async (page: Page) => Number((await page.waitForEvent("console", (m) => m.text().startsWith("painted "))).text().split(" ")[1]);

/** Opens a page with nothing in the cache and gives the time until what the selector names was painted. */
async function timeOf(path: string, selector: string): Promise<number> {
  const page = await tabs.context().newPage();
  try {
    const session = await page.context().newCDPSession(page);
    // Clearing the cache instead leaves Chromium busy for seconds.
    await session.send("Network.enable");
    await session.send("Network.setCacheDisabled", { cacheDisabled: true });
    await page.addInitScript((k) => { sessionStorage.setItem("agcluster.key", k); }, key);
    await page.addInitScript(tellPainted, selector);
    const [time] = await Promise.all([painted(page), page.goto(url + path)]);
    return time;
  } finally {
    await page.close();
  }
}

async function several(measure: () => Promise<number>): Promise<number[]> {
  const values: number[] = [];
  await measure(); // the first one finds nothing warm: neither the host nor the browser's processes
  while (values.length < samples) values.push(await measure());
  return values;
}

describe("a page", () => {
  it("loads this much script", async () => {
    const scripts = new Map<string, Promise<Buffer>>();
    const keep = (r: Response) => { if (r.request().resourceType() === "script") scripts.set(r.url(), r.body()); };
    const { page } = await tabs.open("/docs", key);
    page.on("response", keep);
    await page.goto(`${url}/launch`);
    await page.locator(card).first().waitFor();
    let bytes = 0;
    for (const body of scripts.values()) bytes += gzipSync(await body).length;
    await page.close();
    expect(scripts.size).toBeGreaterThan(0);
    report("web_initial_js_kib", bytes / 1024);
  });

  it("is there after this long", async () => {
    report("web_first_render_ms", median(await several(() => timeOf("/launch", card))));
  });

  it("shows a session of 5,000 events after this long", async () => {
    report("web_open_5000_events_ms", median(await several(() => timeOf(`/sessions/${long}`, "[role=log][aria-busy=false] [role=note]"))));
  });
});

describe("an open session", () => {
  it("shows 10,000 files after this long", async () => {
    report("web_tree_10k_ms", median(await several(async () => {
      const { page } = await tabs.open(`/sessions/${long}?panel=tasks`, key);
      await page.locator("[role=log][aria-busy=false] [role=note]").waitFor();
      const tab = page.getByRole("tab", { name: "Files" });
      // What opening it costs has a figure of its own.
      await page.evaluate(() => new Promise((rested) => { requestIdleCallback(rested); }));
      await page.evaluate(tellPainted, "[role=treeitem]");
      const shown = painted(page);
      await tab.evaluate((el: HTMLElement) => {
        performance.mark("asked");
        el.focus(); // which chooses it, as a click does
      });
      const end = await shown;
      const began = await page.evaluate(() => performance.getEntriesByName("asked")[0]?.startTime ?? NaN);
      expect(await page.getByRole("treeitem").first().getAttribute("aria-setsize")).toBe("10000");
      await page.close();
      return end - began;
    })));
  });

  it("answers a key this fast while 2,000 events a second come", async () => {
    const tab = await tabs.open(`/sessions/${busy}`, key);
    try {
      report("web_input_latency_p95_ms", at(await typed(tab), 0.95));
    } finally {
      await tab.page.close();
    }
  });
});

/** Types into the composer while a turn runs. Gives, for every key, the time until its effect was painted, as Chromium's Event Timing has it. */
async function typed({ page }: Tab): Promise<number[]> {
  const rate = 2_000;
  const seconds = 120; // it is interrupted when everything is typed
  const keys = 150;
  const field = page.getByRole("combobox", { name: "Message" });
  await field.click();
  await page.evaluate(() => {
    const took: number[] = [];
    Object.assign(window, { took });
    new PerformanceObserver((list) => {
      for (const e of list.getEntries()) if (e.name === "keydown") took.push(e.duration);
    }).observe({ type: "event", durationThreshold: 16, buffered: false } as PerformanceObserverInit);
  });
  await field.fill(`emit ${rate * seconds} stream at ${rate}`);
  await field.press("Enter");
  await page.getByText("I look at").first().waitFor();
  await page.evaluate(() => { (window as unknown as { took: number[] }).took.length = 0; });
  let letters = "";
  for (let i = 0; i < keys; i++) {
    const letter = String.fromCharCode(97 + (i % 26));
    letters += letter;
    await page.keyboard.press(letter);
    await page.evaluate(() => new Promise((done) => setTimeout(done, 50)));
  }
  // It was typed during the turn, or it shows nothing.
  expect(await page.getByRole("button", { name: "Interrupt" }).count()).toBeGreaterThan(0);
  expect(await field.inputValue()).toBe(letters);
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 200))));
  const slow = await page.evaluate(() => (window as unknown as { took: number[] }).took);
  await page.getByRole("button", { name: "Interrupt" }).click();
  // What took less than 16 ms is not told.
  return [...slow, ...Array.from({ length: Math.max(0, keys - slow.length) }, () => 16)];
}
