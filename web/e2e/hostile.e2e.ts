import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Page } from "playwright-core";
import { violations } from "./axe";
import { browser, type Tab } from "./browser";
import { log, message } from "./conversation";
import { files, names, seen } from "./hostile";
import { asking, launch, put, say, stop } from "./launch";

/** How long, in milliseconds, one task of the page may take at most. It is meant for a busy machine: a freeze lasts much longer. */
const longestTask = 3_000;

/** From now on the page keeps how long its longest task took; tasks under 50 ms are none. */
async function watch(page: Page) {
  await page.addInitScript(() => {
    const kept = { longest: 0 };
    Object.assign(window, { tasksOfTheTest: kept });
    new PerformanceObserver((list) => { for (const task of list.getEntries()) kept.longest = Math.max(kept.longest, task.duration); }).observe({ type: "longtask", buffered: true });
  });
}

/** The longest task since the last question, in milliseconds. */
async function longest(page: Page): Promise<number> {
  return page.evaluate(() => {
    const kept = (window as unknown as { tasksOfTheTest: { longest: number } }).tasksOfTheTest;
    const { longest: answer } = kept;
    kept.longest = 0;
    return answer;
  });
}

describe("a hostile workspace", () => {
  const b = browser();
  let id = "";
  let tab: Tab;
  let page: Page;
  const abroad: string[] = [];

  beforeAll(async () => {
    id = await launch({ ...asking, permission_mode: "bypassPermissions" });
    for (const { name, content } of files) await put(id, name, content);
    // Ten thousand files are made where they are, in one call.
    await say(id, "panels make ten thousand files");
    tab = await b.open(`/sessions/${id}?panel=files`, undefined, async (it) => {
      await watch(it);
      it.on("request", (r) => { if (!r.url().startsWith(b.url) && !/^(blob|data):/.test(r.url())) abroad.push(r.url()); });
    });
    page = tab.page;
  });
  afterAll(async () => { await stop(id); });

  /** No script ran, nothing was framed, nothing was asked of elsewhere, nothing was refused: it was not even tried. */
  async function harmless() {
    expect(await page.evaluate(() => "pwned" in window)).toBe(false);
    expect(await page.title()).not.toContain("pwned");
    expect(new URL(page.url()).origin).toBe(b.url);
    expect(page.frames()).toHaveLength(1);
    expect(b.context().pages().filter((p) => p.url().startsWith("https:"))).toEqual([]);
    expect(abroad).toEqual([]);
    expect(tab.complaints).toEqual([]);
  }

  it("shows its names as they are, on one line, with what can't be seen made visible", async () => {
    for (const name of names) await page.getByRole("treeitem", { name: seen(name) }).first().waitFor();
    for (const row of await page.getByRole("treeitem").all()) expect((await row.boundingBox())?.height).toBe(28);
    expect(await violations(page)).toEqual([]);
    await harmless();
  });

  it.each(files.map((f) => [f.name, f] as const))("%j opens in every way that is offered, runs nothing, and the page answers meanwhile", async (name, { shown }) => {
    await longest(page);
    await page.getByRole("treeitem", { name: seen(name) }).first().click();
    // While it is being opened: a click and a key elsewhere on the page are answered, and it goes on to be drawn.
    await message(page).click();
    await page.keyboard.type("still here");
    expect(await message(page).inputValue()).toBe("still here");
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(done)));
    await message(page).fill("");
    await shown(page).waitFor();
    for (const way of await page.getByRole("group", { name: "Show as" }).getByRole("button").all()) {
      await way.click();
      await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0))));
      expect(await way.getAttribute("aria-pressed")).toBe("true");
    }
    // What is offered to be clicked leads to the workspace, or by http to elsewhere in a tab of its own that can't reach back.
    for (const link of await page.getByRole("tabpanel", { name: "Viewer" }).getByRole("link").all()) {
      expect(await link.getAttribute("href")).toMatch(/^(https?|mailto):/);
      expect(await link.getAttribute("rel")).toContain("noreferrer");
    }
    await harmless();
    expect(await longest(page)).toBeLessThan(longestTask);
    await page.getByRole("tab", { name: "Files" }).click();
  });

  it("goes through ten thousand files without a freeze", async () => {
    await longest(page);
    await page.getByRole("tree", { name: "Files" }).focus();
    await page.keyboard.press("Home");
    await page.getByRole("treeitem", { name: "many" }).click();
    await page.getByRole("treeitem", { name: "file-00001.txt" }).waitFor();
    expect(await page.getByRole("treeitem").count()).toBeLessThan(200);
    await page.getByRole("tree").evaluate((el) => { el.scrollTop = 5_000 * 28; });
    await page.getByRole("treeitem", { name: /file-0[45]\d{3}/ }).first().waitFor();
    await page.getByRole("tree").focus();
    await page.keyboard.press("End");
    await page.getByRole("searchbox", { name: "Search files" }).fill("file-09999");
    await page.getByRole("treeitem", { name: "file-09999.txt" }).waitFor();
    expect(await longest(page)).toBeLessThan(longestTask);
    expect(await violations(page)).toEqual([]);
    await harmless();
  });

  it("is no page of this origin when one of its files is asked for directly", async () => {
    for (const name of ["evil.html", "evil.svg", "evil.xhtml", "page.pdf"]) {
      // As a browser would that follows a link, though with the key, which no link has.
      const answer = await fetch(`${b.url}/api/files/${id}/${name}?raw=true`, { headers: { Authorization: "Bearer sk-ant-e2e-made-up", Accept: "text/html" } });
      expect(answer.headers.get("x-content-type-options"), name).toBe("nosniff");
      expect(answer.headers.get("content-security-policy"), name).toContain("sandbox");
      await answer.body?.cancel();
      expect((await fetch(`${b.url}/api/files/${id}/${name}?raw=true`)).status, name).toBe(401);
    }
  });

  it("has its output in the conversation as text", async () => {
    await say(id, "hostile output");
    await log(page).getByText("It printed that.").waitFor();
    await log(page).getByText("<script>top.pwned=1</script>").first().waitFor();
    await harmless();
  });
});
