import type { Page } from "playwright-core";
import { expect } from "vitest";

/** How long, in milliseconds, a poll goes on at most; the machine may be busy. */
export const patience = 30_000;

export const message = (page: Page) => page.getByRole("combobox", { name: "Message" });
export const log = (page: Page) => page.getByRole("log", { name: "Conversation" });
const scroller = (page: Page) => log(page).locator("..");

export async function send(page: Page, text: string) {
  await message(page).fill(text);
  await message(page).press("Enter");
}

export async function toTop(page: Page) { await scroller(page).evaluate((el) => { el.scrollTo({ top: 0 }); }); }

/** Scrolls up to where a card is there: rows far from the view are not. */
export async function card(page: Page, name: string | RegExp) {
  const it = log(page).getByRole("region", { name }).first();
  await toTop(page);
  await expect.poll(async () => {
    // In the middle of the view it stays, whatever is measured anew around it.
    if (await it.count() > 0 && await it.scrollIntoViewIfNeeded({ timeout: 5_000 }).then(() => true, () => false)) return it.isVisible();
    await scroller(page).evaluate((el) => { el.scrollBy({ top: 500 }); });
    return false;
  }, { timeout: patience }).toBe(true);
  return it;
}

/** What was said, which tools were called and how turns ended, from the first row to the last as they are drawn: the whole page is scrolled through. */
export async function rendered(page: Page): Promise<string[]> {
  await toTop(page);
  return log(page).evaluate(async (el) => {
    const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
    const rows = new Map<number, string>();
    const box = el.parentElement;
    if (!box) throw new Error("the conversation does not scroll");
    for (let end = false; !end;) {
      await frame();
      await frame();
      [...el.children].forEach((chunk, c) => [...chunk.children].forEach((row, r) => {
        const label = row.getAttribute("aria-label") ?? "";
        const said = row.matches("[role=group]") && label === "You" ? `you: ${row.querySelector("p")?.textContent ?? ""}`
          : row.hasAttribute("data-tool") ? `tool: ${row.getAttribute("data-tool") ?? ""}` : row.matches("[role=note]") ? label : "";
        if (said) rows.set(c * 1000 + r, said);
      }));
      end = box.scrollTop + box.clientHeight >= box.scrollHeight - 1;
      box.scrollBy({ top: box.clientHeight / 2 });
    }
    return [...rows].sort(([a], [b]) => a - b).map(([, said]) => said);
  });
}
