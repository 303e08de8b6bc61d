import { readFileSync } from "node:fs";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { violations } from "./axe";
import { browser, type Tab } from "./browser";
import { everyCard, everyText } from "./cards";
import { log, message, patience, rendered, send, toTop } from "./conversation";
import { bytesOf, drop, everything, filesOf, history, keep, touch } from "./launch";
import { connections, record } from "./streams";
import { unzip } from "./zip";

/*
 * What a person does with one session, in one go: each test begins where the one before it ended. The session is launched by the page, with a
 * configuration of one's own that may use every tool and has a person asked before a file is touched.
 */
const config = {
  ...everything, id: `e2e-main-${Date.now().toString(36)}`, name: "The main way",
  policies: [{ name: "tools", params: { deny: ["Bash(sudo *)"], ask: ["Bash(touch *)"] } }],
};

// Every byte there is, so that nothing on the way may take it for a text.
const bytes = Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 7 + (i >> 8)) % 256));

/** The page has drawn what the host keeps: what was said, which tools were called, how turns ended; nothing less and nothing twice. */
async function shows(page: Page, id: string) {
  const ends: Record<string, string> = { completed: "Done", interrupted: "Interrupted", failed: "Failed" };
  const told = (await history(id)).flatMap((e) => {
    if (e.parent) return [];
    if (e.type === "user") return [`you: ${e.content ?? ""}`];
    if (e.type === "tool_use") return [`tool: ${e.tool ?? ""}`];
    return e.type === "complete" ? [`Turn ${e.turn ?? 0}: ${ends[e.status ?? ""] ?? e.status ?? ""}`] : [];
  });
  await expect.poll(() => rendered(page), { timeout: patience }).toEqual(told);
}

/** Since the page was loaded, its streams have brought every event that the host keeps once, in order, and no other. */
async function heard(page: Page, id: string) {
  const kept = (await history(id)).map((e) => e.event_id);
  expect(kept).toEqual(kept.map((_, i) => i + 1));
  await expect.poll(async () => (await connections(page)).flatMap((c) => c.numbers), { timeout: patience }).toEqual(kept);
  for (const { after, numbers } of await connections(page)) expect(numbers[0] ?? after + 1).toBe(after + 1);
}

describe("one session, from launch to stop", () => {
  const b = browser({ acceptDownloads: true });
  let tab: Tab, second: Tab;
  let page: Page;
  let id = "";
  beforeAll(() => keep(config));
  afterAll(() => drop(config.id));

  it("is launched with its first message", async () => {
    tab = await b.open(`/launch?config=${config.id}`, undefined, record);
    page = tab.page;
    await page.getByRole("radio", { name: "The main way" }).and(page.locator("[data-state=checked]")).waitFor();
    await page.getByLabel("First message").fill("every card please");
    await page.getByRole("button", { name: "Launch and send" }).click();
    await page.waitForURL(/\/sessions\/conv-/);
    id = new URL(page.url()).pathname.split("/").pop() ?? "";
    await log(page).getByText("Those were all the cards.").waitFor({ timeout: 120_000 });
  });

  it("has a card that fits for each kind of tool, with what policies and filters said", async () => {
    await toTop(page);
    await everyText(page);
    expect(await violations(page)).toEqual([]);
    await everyCard(page);
    const tools = new Set((await history(id)).filter((e) => e.type === "tool_use").map((e) => e.tool));
    for (const name of [...config.allowed_tools, "mcp__tiny__tell"]) expect(tools).toContain(name);
    await toTop(page);
    await page.getByRole("button", { name: "Jump to latest" }).click();
    await log(page).getByText("Those were all the cards.").waitFor();
    expect(await violations(page)).toEqual([]);
    await shows(page, id);
  });

  it("waits for an approval, and goes on once a person gave it", async () => {
    await send(page, "main touch please");
    const dock = page.getByRole("region", { name: /^Approval/ });
    await dock.getByText("touch /workspace/approved").first().waitFor();
    expect(await filesOf(id)).not.toContain("approved");
    expect(await violations(page)).toEqual([]);
    await page.waitForFunction(() => document.activeElement?.hasAttribute("data-approval"));
    // Its keys do nothing for 0.6 s; a press that was too early is made again, one that was heard is not.
    await expect.poll(async () => { await page.keyboard.press("a"); return dock.count(); }, { timeout: patience, interval: 3_000 }).toBe(0);
    await log(page).getByText("It is there: approved").waitFor();
    expect(await filesOf(id)).toContain("approved");
  });

  it("takes files that are uploaded", async () => {
    await page.getByRole("button", { name: "Open the side panel" }).click();
    await page.getByRole("tab", { name: "Files" }).click();
    await page.getByLabel("Files to upload").setInputFiles([
      { name: "plan.txt", mimeType: "text/plain", buffer: Buffer.from("first line\nsecond line\n") }, { name: "all bytes.bin", mimeType: "application/octet-stream", buffer: bytes },
    ]);
    await page.getByRole("treeitem", { name: "plan.txt" }).waitFor();
    await page.getByRole("treeitem", { name: "all bytes.bin" }).waitFor();
    expect((await bytesOf(id, "plan.txt")).toString()).toBe("first line\nsecond line\n");
    expect((await bytesOf(id, "all bytes.bin")).equals(bytes)).toBe(true);
    expect(await violations(page)).toEqual([]);
  });

  it("has files changed in the viewer, and shows what is different", async () => {
    await page.getByRole("treeitem", { name: "plan.txt" }).click();
    await page.getByRole("tabpanel", { name: "Viewer" }).getByRole("button", { name: "Edit" }).click();
    await page.getByRole("textbox", { name: "Text of plan.txt" }).press("Control+End");
    await page.keyboard.type("third line");
    await page.keyboard.press("Control+s");
    await page.getByText("Saved plan.txt").waitFor();
    expect((await bytesOf(id, "plan.txt")).toString()).toBe("first line\nsecond line\nthird line");

    await page.getByRole("tab", { name: "Changes" }).click();
    const changed = page.getByRole("list", { name: "Changed files" });
    await changed.getByRole("button", { name: /hello\.py.*added/s }).waitFor();
    await changed.getByRole("button", { name: /plan\.txt.*added/s }).click();
    const diff = page.getByRole("tabpanel", { name: "Changes" });
    for (const line of ["first line", "second line", "third line"]) await diff.getByText(line, { exact: true }).waitFor();
    expect(await violations(page)).toEqual([]);
    await page.getByRole("button", { name: "All changes" }).click();
  });

  it("exports the workspace, byte for byte", async () => {
    await page.getByRole("tab", { name: "Files" }).click();
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Export all as zip" }).click()]);
    const archive = unzip(readFileSync(await download.path()));
    const files = await filesOf(id);
    expect(files).toEqual(expect.arrayContaining(["all bytes.bin", "approved", "note.ipynb", "plan.txt", "src/hello.py"]));
    expect([...archive.keys()].sort()).toEqual(files);
    for (const [path, content] of archive) expect(content.equals(await bytesOf(id, path)), path).toBe(true);
    expect(archive.get("all bytes.bin")?.equals(bytes)).toBe(true);
    expect(archive.get("plan.txt")?.toString()).toBe("first line\nsecond line\nthird line");
  });

  it("goes on after a reload in mid-turn and in a second tab: no event is lost or comes twice", async () => {
    await send(page, "a long turn please");
    await log(page).getByText("It begins.").waitFor();
    await page.reload();
    await log(page).getByText("It begins.").waitFor();
    second = await b.open(`/sessions/${id}`, undefined, record);
    await log(second.page).getByText("It begins.").waitFor();
    await touch(id, "go");
    for (const { page: it } of [tab, second]) {
      await log(it).getByText("and here is the end of the long turn.").waitFor();
      await log(it).getByRole("note", { name: "Turn 3: Done" }).waitFor();
      expect(await log(it).getByText("It begins.").count()).toBe(1);
      expect(await log(it).getByText("and here is the end of the long turn.").count()).toBe(1);
      await heard(it, id);
      await shows(it, id);
    }
  });

  it("is interrupted, which both tabs see", async () => {
    await send(page, "wait for ever");
    await log(page).getByRole("region", { name: "Bash: Wait", exact: true }).waitFor();
    await message(page).press("Escape");
    for (const { page: it } of [tab, second]) {
      await log(it).getByRole("note", { name: "Turn 4: Interrupted" }).waitFor();
      await heard(it, id);
      await shows(it, id);
    }
  });

  it("is stopped, and nothing was complained about all the way", async () => {
    await page.getByRole("button", { name: "More", exact: true }).first().click();
    await page.getByRole("menuitem", { name: "Stop the session…" }).click();
    await page.getByRole("dialog", { name: "Stop this session?" }).getByRole("button", { name: "Stop the session" }).click();
    await page.waitForURL("**/sessions");
    await second.page.getByText("This session was stopped. What it did can be read here").waitFor();
    expect(await message(second.page).isDisabled()).toBe(true);
    expect([...tab.complaints, ...second.complaints]).toEqual([]);
    await second.page.close();
    await page.close();
  });
});
