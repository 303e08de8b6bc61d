import type { Page } from "playwright-core";

/** Parts of a session's page that several tests use. */
export const message = (page: Page) => page.getByRole("combobox", { name: "Message" });
export const log = (page: Page) => page.getByRole("log", { name: "Conversation" });
export const dock = (page: Page) => page.getByRole("region", { name: /^Approval/ });

/** Writes a message and sends it. */
export async function send(page: Page, text: string) {
  await message(page).fill(text);
  await message(page).press("Enter");
}

/** How long, in milliseconds, a poll goes on at most; the machine may be busy. */
export const patience = 30_000;
