import type { Page } from "playwright-core";
import { afterEach, describe, expect, it } from "vitest";
import { violations } from "./axe";
import { browser } from "./browser";
import { asking, everything, history, launch, say, stop, touch } from "./launch";
import { dock, log, message, patience, send } from "./session";

interface Note { title: string; body: string }

/** Lets the test see notifications and say whether the tab is hidden, as far as the page can tell. */
async function watchNotifications(page: Page) {
  await page.addInitScript(() => {
    const w = window as unknown as { notes: Note[]; hide: (hidden: boolean) => void; Notification: unknown };
    let hidden = false;
    w.notes = [];
    w.hide = (now) => { hidden = now; document.dispatchEvent(new Event("visibilitychange")); };
    Object.defineProperty(document, "hidden", { get: () => hidden });
    Object.defineProperty(document, "visibilityState", { get: () => (hidden ? "hidden" : "visible") });
    class Fake extends EventTarget {
      static permission = "default";
      static requestPermission() { Fake.permission = "granted"; return Promise.resolve("granted"); }
      onclick: (() => void) | null = null;
      constructor(title: string, options: { body: string }) { super(); w.notes.push({ title, body: options.body }); }
      close() { this.onclick = null; }
    }
    w.Notification = Fake;
  });
}

const notes = (page: Page) => page.evaluate(() => (window as unknown as { notes: Note[] }).notes);
const hide = (page: Page, hidden: boolean) => page.evaluate((h) => { (window as unknown as { hide: (now: boolean) => void }).hide(h); }, hidden);

describe("writing to a session", () => {
  const b = browser();
  afterEach(async () => { for (const page of b.context().pages()) if (page.url().startsWith(b.url)) await page.close(); });

  it("completes slash commands and files by keyboard", async () => {
    const id = await launch(everything);
    await touch(id, "alpha.txt");
    await touch(id, "my notes.txt");
    await say(id, "say first");
    const { page, complaints } = await b.open(`/sessions/${id}`);
    await log(page).getByText("You asked for first.").waitFor();
    const field = message(page);
    const list = page.getByRole("listbox", { name: "Completions" });

    await field.focus();
    await page.keyboard.type("/comp");
    await list.getByRole("option", { name: /^\/compact/ }).waitFor();
    expect(await field.getAttribute("aria-expanded")).toBe("true");
    expect(await violations(page)).toEqual([]);
    await page.keyboard.press("Tab");
    expect(await field.inputValue()).toBe("/compact ");
    await list.waitFor({ state: "detached" });

    await field.fill("");
    await page.keyboard.type("/");
    await list.getByRole("option").nth(1).waitFor();
    const second = await list.getByRole("option").nth(1).locator("span").first().innerText();
    await page.keyboard.press("ArrowDown");
    expect(await list.getByRole("option", { selected: true }).locator("span").first().innerText()).toBe(second);
    await page.keyboard.press("ArrowUp");
    await page.keyboard.press("ArrowUp");
    expect(await list.getByRole("option").last().getAttribute("aria-selected")).toBe("true");
    await page.keyboard.press("Escape");
    await list.waitFor({ state: "detached" });
    expect(await field.inputValue()).toBe("/");

    // Files: within a text, and with a blank in the name.
    await field.fill("");
    await page.keyboard.type("see @alp");
    await list.getByRole("option", { name: "alpha.txt" }).waitFor();
    await page.keyboard.press("Enter");
    expect(await field.inputValue()).toBe("see @alpha.txt ");
    await page.keyboard.type("and @notes");
    await list.getByRole("option", { name: "my notes.txt" }).waitFor();
    await page.keyboard.press("Enter");
    expect(await field.inputValue()).toBe('see @alpha.txt and @"my notes.txt" ');
    expect(complaints).toEqual([]);
    await stop(id);
  });

  it("attaches files: they lie in the workspace, the message names them, the agent reads them, nothing is replaced", async () => {
    const id = await launch(everything);
    const { page, complaints } = await b.open(`/sessions/${id}`);
    await message(page).waitFor();
    const file = (words: string) => ({ name: "note.txt", mimeType: "text/plain", buffer: Buffer.from(words) });
    await page.getByLabel("Files to attach").setInputFiles(file("kept words\n"));
    await expect.poll(() => message(page).inputValue(), { timeout: patience }).toBe("@uploads/note.txt ");
    await message(page).fill("look at @uploads/note.txt please");
    await message(page).press("Enter");
    await log(page).getByRole("group", { name: "You" }).getByText("look at @uploads/note.txt please").waitFor();
    await log(page).getByText("It says kept words.").waitFor();

    // The same name again, this time dropped onto the message.
    await message(page).evaluate((el) => {
      const data = new DataTransfer();
      data.items.add(new File(["others\n"], "note.txt"));
      el.dispatchEvent(new DragEvent("dragover", { bubbles: true, cancelable: true, dataTransfer: data }));
      el.dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: data }));
    });
    await expect.poll(() => message(page).inputValue(), { timeout: patience }).toBe("@uploads/note-2.txt ");
    await send(page, "look at @uploads/note.txt once more");
    await expect.poll(() => log(page).getByText("It says kept words.").count(), { timeout: patience }).toBe(2);
    // That the first name was taken is an answer of 412, which the browser reports as a failed request.
    expect(complaints.filter((c) => !c.includes("412"))).toEqual([]);
    await stop(id);
  });

  it("tries a failed turn again", async () => {
    const id = await launch(asking);
    const { page } = await b.open(`/sessions/${id}`);
    await send(page, "fail the first time");
    await log(page).getByText("the model stumbled").first().waitFor();
    expect(await violations(page)).toEqual([]);
    await page.getByRole("button", { name: "Try the last message again" }).click();
    await log(page).getByText("The second time it works.").waitFor();
    expect(await page.getByRole("button", { name: "Try the last message again" }).count()).toBe(0);
    expect((await history(id)).filter((e) => e.type === "user").map((e) => e.content)).toEqual(["fail the first time", "fail the first time"]);
    await stop(id);
  });

  it("switches the model and the permission mode", async () => {
    const id = await launch(asking);
    const { page, complaints } = await b.open(`/sessions/${id}`);
    await send(page, "which model are you");
    await log(page).getByText("I am the usual one.").waitFor();
    await page.getByLabel("Model").selectOption("haiku");
    await log(page).getByText(/^Set to model/).waitFor();
    await send(page, "which model are you");
    await log(page).getByText("I am the small one.").waitFor();

    await send(page, "ask me first");
    await dock(page).waitFor();
    await dock(page).getByRole("button", { name: "Allow once" }).click();
    await log(page).getByText("Thank you for allowing it.").waitFor();
    await page.getByLabel("Permission mode").selectOption("bypassPermissions");
    await log(page).getByText(/permission mode bypassPermissions/).waitFor();
    await send(page, "ask me first, if you must");
    await expect.poll(() => log(page).getByText("Thank you for allowing it.").count(), { timeout: patience }).toBe(2);
    expect(await dock(page).count()).toBe(0);
    // What was chosen holds after a reload, too.
    await page.reload();
    await expect.poll(() => page.getByLabel("Permission mode").inputValue(), { timeout: patience }).toBe("bypassPermissions");
    expect(complaints).toEqual([]);
    await stop(id);
  });

  it("copies the conversation as markdown", async () => {
    await b.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    const id = await launch(everything);
    await say(id, "every card please");
    const { page, complaints } = await b.open(`/sessions/${id}`);
    await log(page).getByText("Those were all the cards.").waitFor();
    await page.getByRole("button", { name: "More", exact: true }).click();
    await page.getByRole("menuitem", { name: "Copy as markdown" }).click();
    await page.getByText("Copied the conversation").waitFor();
    const text = await page.evaluate(() => navigator.clipboard.readText());
    for (const part of ["## You\n\nevery card please\n\n## Agent", "```python\ndef hello(name):", "**Bash** `Print thirty lines`", "$ echo oops >&2; exit 3", "*deny by policy tools", "> The sub-agent found it polite.", "Those were all the cards."]) {
      expect(text).toContain(part);
    }
    expect(complaints).toEqual([]);
    await stop(id);
  });

  it("tells of an approval and of the end of a turn while its tab is hidden", async () => {
    const id = await launch(asking);
    const { page, complaints } = await b.open("/sessions");
    await watchNotifications(page);
    await page.goto(`${b.url}/sessions/${id}`);
    await page.getByText("Live", { exact: true }).waitFor();
    await page.getByRole("button", { name: "More", exact: true }).click();
    await page.getByRole("menuitem", { name: "Notify me" }).click();
    await page.getByText("You are told when a session waits").waitFor();

    // Seen: nothing is told.
    await send(page, "say hello");
    await log(page).getByText("You asked for hello.").waitFor();
    await log(page).getByRole("note").first().waitFor();
    expect(await notes(page)).toEqual([]);

    await hide(page, true);
    await send(page, "ask me first");
    await expect.poll(() => notes(page), { timeout: patience }).toEqual([{ title: "say hello", body: expect.stringContaining("Waits for you: Bash") as string }]);
    await dock(page).getByRole("button", { name: "Allow once" }).click();
    await expect.poll(async () => (await notes(page)).map((n) => n.body).slice(1), { timeout: patience }).toEqual(["The agent is done"]);
    await hide(page, false);
    await send(page, "say again");
    await log(page).getByText("You asked for again.").waitFor();
    await expect.poll(() => log(page).getByRole("note").count(), { timeout: patience }).toBe(3);
    expect(await notes(page)).toHaveLength(2);
    expect(complaints).toEqual([]);
    await stop(id);
  });
});
