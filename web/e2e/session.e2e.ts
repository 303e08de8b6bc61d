import AxeBuilder from "@axe-core/playwright";
import type { Page } from "playwright-core";
import { afterEach, describe, expect, it } from "vitest";
import { browser } from "./browser";
import { log, message, patience, send } from "./conversation";
import { asking, everything, history, launch, say, stop, touch } from "./launch";

async function axe(page: Page) {
  const { violations } = await new AxeBuilder({ page }).analyze();
  expect(violations.filter((v) => v.impact === "serious" || v.impact === "critical").map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(" ")}`)).toEqual([]);
}

describe("a session's page", () => {
  const b = browser();
  // A tab offers its key to others: what a failed test left open must not help the next one.
  afterEach(async () => { for (const page of b.context().pages()) if (page.url().startsWith(b.url)) await page.close(); });

  it("lists tasks and tool calls in panels with addresses of their own, on a phone, too", async () => {
    const id = await launch(everything);
    await say(id, "every card please");
    const { page, complaints } = await b.open(`/sessions/${id}`);
    await log(page).getByText("Those were all the cards.").waitFor();
    // Side panels, each a deep link.
    await page.goto(`${b.url}/sessions/${id}?panel=tasks`);
    await page.getByText("2 of 3 done").first().waitFor();
    await axe(page);
    await page.getByRole("tab", { name: "Tools" }).click();
    await page.getByText("21 calls", { exact: true }).waitFor();
    await page.getByLabel("How it went").selectOption("verdict");
    await page.getByText("2 of 21 calls").waitFor();
    expect(page.url()).toContain("panel=tools");
    await axe(page);
    await page.setViewportSize({ width: 390, height: 844 });
    await page.getByRole("dialog").getByRole("tab", { name: "Tasks" }).waitFor();
    await page.getByRole("button", { name: "Back to the conversation" }).click();
    await message(page).waitFor();
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
    await axe(page);
    expect(complaints).toEqual([]);
    await page.close();
    await stop(id);
  });

  it("asks for approvals, by keyboard: allow, deny with a reason, allow for the session", async () => {
    const id = await launch(asking);
    const { page, complaints } = await b.open(`/sessions/${id}`);
    await page.getByText("Nothing was said yet").waitFor();
    await axe(page);
    const dock = page.getByRole("region", { name: /^Approval/ });

    await send(page, "ask me first");
    await dock.getByText("touch /workspace/approved").first().waitFor();
    await dock.getByText(/denied in .* without an answer/).waitFor();
    await axe(page);
    await page.waitForFunction(() => document.activeElement?.hasAttribute("data-approval"));
    await expect.poll(async () => { await page.keyboard.press("d"); return page.getByLabel("Reason, which the agent is told").count(); }, { timeout: patience }).toBe(1);
    await page.getByLabel("Reason, which the agent is told").fill("not today");
    await page.keyboard.press("Enter");
    await log(page).getByText(/Then I leave it\. I was told: [\s\S]*not today/).waitFor();
    await log(page).getByText("Denied", { exact: true }).first().waitFor();
    await page.waitForFunction(() => document.activeElement?.getAttribute("aria-label") === "Message");

    await send(page, "ask me first, again");
    await dock.waitFor();
    await expect.poll(async () => { await page.keyboard.press("a"); return dock.count(); }, { timeout: patience }).toBe(0);
    await log(page).getByText("Thank you for allowing it.").waitFor();

    await send(page, "ask me first, and then no more");
    await dock.getByRole("button", { name: /Allow for this session/ }).click();
    await expect.poll(() => log(page).getByText("Thank you for allowing it.").count(), { timeout: patience }).toBe(2);
    await send(page, "ask me first, though I said no more");
    await expect.poll(() => log(page).getByText("Thank you for allowing it.").count(), { timeout: patience }).toBe(3);
    expect(await dock.count()).toBe(0);
    expect(complaints).toEqual([]);
    await page.close();
    await stop(id);
  });

  it("queues what is written while a turn runs, and keeps it back when the turn is interrupted", async () => {
    const id = await launch(everything);
    const { page, complaints } = await b.open(`/sessions/${id}`);
    await send(page, "a long turn please");
    await log(page).getByText("It begins.").waitFor();
    // It waits, can be changed, and goes by itself.
    await send(page, "say someting");
    await page.getByRole("button", { name: "Edit this queued message" }).click();
    expect(await message(page).inputValue()).toBe("say someting");
    await send(page, "say something");
    await page.getByRole("region", { name: "Queued messages" }).getByText("say something").waitFor();
    await touch(id, "go");
    await log(page).getByText("You asked for something.").waitFor();
    await expect.poll(() => log(page).getByRole("note").count(), { timeout: patience }).toBe(2);
    expect((await history(id)).filter((e) => e.type === "user").map((e) => e.content)).toEqual(["a long turn please", "say something"]);

    await send(page, "wait for ever");
    await log(page).getByText("I wait.").waitFor();
    await message(page).fill("say later");
    await message(page).press("Enter");
    await log(page).getByRole("region", { name: "Bash: Wait", exact: true }).waitFor();
    await message(page).press("Escape");
    await log(page).getByText("Interrupted", { exact: true }).waitFor();
    // What was queued is not sent into a turn that a person ended.
    await page.getByText("The turn did not end well, so these wait for you.").waitFor();
    await axe(page);
    await page.getByRole("button", { name: "Send now" }).click();
    await log(page).getByText("You asked for later.").waitFor();
    expect(complaints).toEqual([]);
    await page.close();
    await stop(id);
  });

  it("comes back by itself when the connection is lost, and says so meanwhile", async () => {
    const id = await launch(asking);
    const { page } = await b.open(`/sessions/${id}`);
    await page.getByText("Live", { exact: true }).waitFor();
    let refuse = true;
    await page.route("**/events?*", (route) => (refuse ? route.abort() : route.continue()));
    await page.getByRole("button", { name: "More", exact: true }).click();
    await page.getByRole("menuitem", { name: "Read anew" }).click();
    await page.getByText(/^(Host away|Reconnecting)/).waitFor();
    await say(id, "hello meanwhile");
    refuse = false;
    await page.getByText("Live", { exact: true }).waitFor();
    await log(page).getByText("Hello from the offline model.").waitFor();
    expect(await log(page).getByText("hello meanwhile").count()).toBe(1);
    await page.close();
    await stop(id);
  });

  it("says what to do without a key, with another's key and at an unknown address", async () => {
    const id = await launch(asking);
    const none = await b.open(`/sessions/${id}`, "");
    await none.page.getByText("Whose session is this?").waitFor();
    await axe(none.page);
    await none.page.close();
    const wrong = await b.open(`/sessions/${id}`, "sk-ant-somebody-else");
    await wrong.page.getByText("This session belongs to another key").waitFor();
    await wrong.page.close();
    const unknown = await b.open("/sessions/conv-00000000000000000000000000000000");
    await unknown.page.getByText("There is no such session").waitFor();
    await axe(unknown.page);
    await unknown.page.close();
    await stop(id);
  });
});
