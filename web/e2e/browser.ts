import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BrowserContext, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, inject } from "vitest";

const args = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

/**
 * A page of its own Chromium with what it complained about: script errors, errors on the console, what the Content-Security-Policy refused
 * (its reports), failed requests (5xx). What its frames, its workers and the pages it opened complained about is there, too.
 */
export interface Tab { page: Page; complaints: string[] }

/** Gathers the complaints of a page and of what it opens. Frames and workers speak through their page's console. */
function listen(page: Page, complaints: string[]) {
  page.on("pageerror", (e) => complaints.push(`script: ${e.message}`));
  page.on("console", (m) => { if (m.type() === "error") complaints.push(`console: ${m.text()}`); });
  page.on("response", (r) => { if (r.status() >= 500) complaints.push(`${r.status()} ${r.url()}`); });
  page.on("popup", (opened) => { listen(opened, complaints); });
}

/** Gives the tests of a file one Chromium with a fresh profile. open() opens a tab in it; the key is a made-up one kept in session storage. */
export function browser(options: BrowserContextOptions = {}) {
  let context: BrowserContext | undefined;
  let profile = "";
  beforeAll(async () => {
    profile = mkdtempSync(join(tmpdir(), "agc-chromium-"));
    context = await chromium.launchPersistentContext(profile, {
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", headless: true, args, viewport: { width: 1440, height: 900 }, ...options,
    });
    // In every frame of every page, before anything of its own. A report goes to the document, or to the element it is about and up from there.
    await context.addInitScript(() => {
      window.addEventListener("securitypolicyviolation", (e) => { console.error(`csp: ${e.violatedDirective} refused ${e.blockedURI} in ${location.href}`); }, true);
    });
  });
  afterAll(async () => {
    await context?.close();
    rmSync(profile, { recursive: true, force: true });
  });
  return {
    url: inject("url"),
    context: () => { if (!context) throw new Error("no browser yet"); return context; },
    /** prepare sees the page before it goes anywhere. */
    async open(path: string, key = "sk-ant-e2e-made-up", prepare?: (page: Page) => Promise<unknown>): Promise<Tab> {
      if (!context) throw new Error("no browser yet");
      const page = await context.newPage();
      const complaints: string[] = [];
      listen(page, complaints);
      await page.addInitScript((k) => {
        try { if (k) sessionStorage.setItem("agcluster.key", k); } catch { /* a sandboxed frame has no storage */ }
      }, key);
      await prepare?.(page);
      await page.goto(inject("url") + path);
      return { page, complaints };
    },
  };
}
