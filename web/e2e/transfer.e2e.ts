import type { Locator, Page } from "playwright-core";
import { afterEach, describe, expect, it } from "vitest";
import { violations } from "./axe";
import { browser } from "./browser";
import { asking, everything, key, launch, say, stop } from "./launch";
import { patience } from "./session";

interface Dropped { name: string; text?: string; size?: number }

/** Drops files onto the place that selector names, as a person's pointer would. */
async function drop(page: Page, selector: string, files: Dropped[]) {
  await page.locator(selector).first().evaluate((el, all) => {
    const data = new DataTransfer();
    for (const f of all) data.items.add(new File([f.text ?? new Uint8Array(f.size ?? 0)], f.name));
    for (const type of ["dragenter", "dragover", "drop"]) el.dispatchEvent(new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer: data }));
  }, files);
}

/** Measures, in the page, the longest that it answered nothing, in milliseconds. */
function watchFreezes() {
  const w = window as unknown as { longest: number };
  w.longest = 0;
  let last = performance.now();
  const beat = () => {
    const now = performance.now();
    w.longest = Math.max(w.longest, now - last);
    last = now;
    setTimeout(beat, 10);
  };
  beat();
}

const freeze = (page: Page) => page.evaluate(() => (window as unknown as { longest: number }).longest);

/** Where something stands and how large it is, in whole pixels. */
async function place(it: Locator): Promise<number[]> {
  const box = await it.boundingBox();
  return box ? [box.x, box.y, box.width, box.height].map(Math.round) : [];
}

/** What counts as a freeze, in milliseconds; the machine may be busy with much else. */
const frozen = 5_000;

describe("files between the browser and the workspace", () => {
  const b = browser();
  afterEach(async () => { for (const page of b.context().pages()) if (page.url().startsWith(b.url)) await page.close(); });

  const auth = { Authorization: `Bearer ${key}` };
  const file = (id: string, path: string, init: RequestInit = {}) => fetch(`${b.url}/api/files/${id}/${encodeURIComponent(path)}${init.method ? "" : "?raw=true"}`, { ...init, headers: { ...auth, ...(init.headers as Record<string, string> | undefined) } });
  const text = async (id: string, path: string) => (await file(id, path)).text();
  const put = async (id: string, path: string, body: BodyInit) => { expect((await file(id, path, { method: "PUT", body })).ok).toBe(true); };

  it("are dropped onto the tree, ask before they replace, show how far they are and leave nothing when they are cancelled", async () => {
    const id = await launch(asking);
    const { page, complaints } = await b.open(`/sessions/${id}?panel=files`);
    await page.getByText("The workspace is empty").waitFor();
    await drop(page, "text=The workspace is empty", [{ name: "a.txt", text: "first" }, { name: 'quoted "name".txt', text: "q" }]);
    await page.getByRole("treeitem", { name: "a.txt" }).waitFor();
    await page.getByText("Uploaded 2 of 2 files").waitFor();
    await page.getByRole("region", { name: "Uploads" }).getByRole("button", { name: "Close" }).click();

    await drop(page, "[role=tree]", [{ name: "a.txt", text: "second" }, { name: "b.txt", text: "new" }]);
    await page.getByRole("dialog", { name: "The file is there already" }).getByRole("button", { name: "Replace" }).click();
    await page.getByText("Uploaded 2 of 2 files").waitFor();
    expect(await text(id, "a.txt")).toBe("second");
    expect(await text(id, "b.txt")).toBe("new");
    expect(await violations(page)).toEqual([]);
    await page.getByRole("region", { name: "Uploads" }).getByRole("button", { name: "Close" }).click();

    // Slow enough to be cancelled on its way.
    const network = await b.context().newCDPSession(page);
    await network.send("Network.enable");
    await network.send("Network.emulateNetworkConditions", { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: 500_000 });
    await drop(page, "[role=tree]", [{ name: "slow.bin", size: 20_000_000 }]);
    const bar = page.getByRole("progressbar", { name: "Upload" });
    await expect.poll(async () => Number(await bar.getAttribute("aria-valuenow")), { timeout: patience }).toBeGreaterThan(0);
    await page.getByText(/^Uploading 0 of 1 file/).waitFor();
    await page.getByRole("region", { name: "Uploads" }).getByRole("button", { name: "Cancel" }).click();
    await page.getByText(/^Uploaded 0 of 1 file.*1 skipped/).waitFor();
    expect((await file(id, "slow.bin")).status).toBe(404);
    await page.getByRole("button", { name: "Refresh" }).click();
    await page.getByText("3 files").waitFor();
    const tree = await (await fetch(`${b.url}/api/files/${id}`, { headers: auth })).text();
    expect(tree).not.toContain("slow");

    // A download, too, can be ended.
    await network.send("Network.emulateNetworkConditions", { offline: false, latency: 0, downloadThroughput: 500_000, uploadThroughput: -1 });
    await put(id, "large.bin", Buffer.alloc(20_000_000));
    await page.getByRole("button", { name: "Export all as zip" }).click();
    await page.getByRole("progressbar", { name: "Export" }).waitFor();
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("progressbar", { name: "Export" }).waitFor({ state: "detached" });
    expect(complaints).toEqual([]);
    await stop(id);
  });

  it("are texts that are edited up to 5 MiB, and shown in part beyond, without a freeze", async () => {
    const id = await launch(asking);
    const line = "this line stands in a long file\n";
    const long = line.repeat(Math.floor((4 * 1024 * 1024) / line.length));
    await put(id, "long.txt", long);
    await put(id, "huge.log", Buffer.alloc(50 * 1024 * 1024, line));
    const { page, complaints } = await b.open("/sessions");
    await page.addInitScript(watchFreezes);
    await page.goto(`${b.url}/sessions/${id}?panel=viewer&file=long.txt`);
    await page.getByText("4.0 MiB", { exact: true }).waitFor();
    await page.getByText(`${long.length / line.length} lines`, { exact: true }).waitFor();
    await page.getByRole("button", { name: "Edit" }).click();
    const editor = page.getByRole("textbox", { name: "Text of long.txt" });
    await editor.press("Control+Home");
    await page.keyboard.type("It begins anew. ");
    await page.keyboard.press("Control+s");
    await page.getByText("Saved long.txt").waitFor();
    expect(await text(id, "long.txt")).toBe(`It begins anew. ${long}`);
    await page.getByText("Editing", { exact: true }).waitFor();
    // Overtaken by somebody else, it asks, with all of both texts.
    await page.keyboard.type("Mine. ");
    await put(id, "long.txt", `theirs\n${long}`);
    await page.keyboard.press("Control+s");
    await page.getByRole("dialog", { name: "long.txt has changed" }).getByRole("button", { name: "Take theirs, drop mine" }).click();
    await page.getByRole("textbox", { name: "Text of long.txt" }).getByText("theirs").waitFor();

    expect(await freeze(page)).toBeLessThan(frozen);

    await page.goto(`${b.url}/sessions/${id}?panel=viewer&file=huge.log`);
    await page.getByText(/^The file has 50.* this is its beginning, .* Texts up to 5.* can be edited here\.$/).waitFor();
    expect(await page.getByRole("button", { name: "Edit" }).isDisabled()).toBe(true);
    await page.getByRole("textbox", { name: "Text of huge.log" }).getByText("this line stands").first().waitFor();
    expect(await violations(page)).toEqual([]);
    const download = page.waitForEvent("download");
    await page.getByRole("button", { name: "Download" }).first().click();
    expect((await download).suggestedFilename()).toBe("huge.log");
    expect(await freeze(page)).toBeLessThan(frozen);
    expect(complaints.filter((c) => !c.includes("412"))).toEqual([]);
    await stop(id);
  });

  it("stand coloured in the conversation, and a sub-agent's calls below its own", async () => {
    const id = await launch(everything);
    await say(id, "every card please");
    const { page, complaints } = await b.open("/sessions");
    // The colours wait until the test has seen the plain text.
    let colour: () => void = () => undefined;
    const plain = new Promise<void>((go) => { colour = go; });
    await page.route("**/assets/highlighter-*.js", async (route) => { await plain; await route.continue(); });
    await page.goto(`${b.url}/sessions/${id}?panel=tools`);
    const log = page.getByRole("log", { name: "Conversation" });
    await log.getByText("Those were all the cards.").waitFor();
    await page.getByRole("list", { name: "Tool calls" }).getByRole("button", { name: /^In a sub-agent: Read/ }).waitFor();
    const names = await page.getByRole("list", { name: "Tool calls" }).getByRole("button").allInnerTexts();
    const task = names.findIndex((n) => n.startsWith("Task"));
    expect(names[task + 1]).toContain("In a sub-agent");
    await page.getByLabel("Tool", { exact: true }).selectOption("Task");
    await page.getByText("1 of 21 calls").waitFor();

    const scroller = log.locator("..");
    await scroller.evaluate((el) => { el.scrollTo({ top: 0 }); });
    const code = log.locator("pre code.coloured").first();
    await code.getByText("def hello(name):").waitFor();
    expect(await code.locator("span").count()).toBe(0);
    const before = await place(code);
    colour();
    await code.locator("span", { hasText: /^def$/ }).waitFor();
    expect(await place(code)).toEqual(before);
    await scroller.evaluate((el) => { el.scrollBy({ top: 500 }); });
    await log.locator("[data-tool=Write] .coloured span", { hasText: /^import$/ }).waitFor();
    expect(await violations(page)).toEqual([]);
    await page.evaluate(() => { document.documentElement.dataset.theme = "dark"; });
    expect(await violations(page)).toEqual([]);
    expect(complaints).toEqual([]);
    await stop(id);
  });
});
