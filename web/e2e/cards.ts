import type { Page } from "playwright-core";
import { expect } from "vitest";
import { card, log } from "./conversation";

/** Looks at the card of each tool call that "every card please" makes (script.yaml), from the first to the last. */
export async function everyCard(page: Page) {
  await (await card(page, "TodoWrite: 0 of 3 done")).getByText("Writing a file").waitFor();
  const write = await card(page, "Write: src/hello.py");
  await write.getByLabel("8 lines added, 0 removed").waitFor();
  const edit = await card(page, "Edit: src/hello.py");
  await edit.getByLabel("2 lines added, 1 removed").waitFor();
  expect(await edit.getByText("# be polite").count()).toBe(1);
  const bash = await card(page, "Bash: Print thirty lines");
  await bash.getByText("for i in $(seq 1 30)").waitFor();
  await bash.getByRole("button", { name: "Show 18 more lines" }).click();
  expect(await bash.getByText("line 30").count()).toBe(1);
  await (await card(page, "Bash: Fail on purpose")).getByText("exit 3", { exact: true }).waitFor();
  const read = await card(page, "Read: src/hello.py");
  await read.getByRole("button", { name: /^Read/ }).click();
  await read.getByText("import sys").waitFor();
  await card(page, "Grep: hello in src");
  await card(page, "Glob: **/*.py");
  expect(await (await card(page, /^WebFetch/)).getByRole("link").getAttribute("href")).toBe("https://example.com/docs");
  await (await card(page, "NotebookEdit: note.ipynb")).getByText("40 + 2").waitFor();
  const task = await card(page, "Task · reviewer: Review the program");
  const thread = task.getByRole("group", { name: "Sub-agent" });
  await thread.getByText("The sub-agent found it polite.").waitFor();
  expect(await thread.getByRole("region", { name: "Read: src/hello.py" }).count()).toBe(1);
  const mcp = await card(page, /^tiny · tell/);
  await mcp.getByRole("button", { expanded: false }).first().click();
  await mcp.getByText("Server tiny, tool tell").waitFor();
  const search = await card(page, "WebSearch: how agents are kept in");
  await search.getByText("A sandbox keeps them in.").waitFor();
  const denied = await card(page, "Bash: Try what is forbidden");
  await denied.getByText("Denied", { exact: true }).waitFor();
  await denied.getByText("by policy tools").waitFor();
  const redacted = await card(page, "Bash: Print a made-up credential");
  await redacted.getByText("Redacted", { exact: true }).waitFor();
  await redacted.getByText("token=[redacted: github-pat]").waitFor();
  await (await card(page, "TodoWrite: 2 of 3 done")).getByText("Look around").waitFor();
}

/** Looks at what is said around the cards: markdown without HTML, pictures as links, thinking that is folded. */
export async function everyText(page: Page) {
  await log(page).getByRole("heading", { name: "Every card" }).waitFor();
  expect(await log(page).getByText("<b>no HTML</b>").count()).toBe(1);
  expect(await log(page).locator("img").count()).toBe(0);
  expect(await log(page).getByRole("link", { name: "link", exact: true }).getAttribute("rel")).toContain("noreferrer");
  await log(page).getByRole("button", { name: /^Thought/ }).click();
  await log(page).getByText("That way each card can be looked at.").last().waitFor();
}
