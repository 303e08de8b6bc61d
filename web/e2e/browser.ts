import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BrowserContext, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, inject } from "vitest";

const args = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

/** A page of its own Chromium with what it complained about: script errors, refused by the Content-Security-Policy, failed requests (5xx). */
export interface Tab { page: Page; complaints: string[] }

/** Gives the tests of a file one Chromium with a fresh profile. open() opens a tab in it; the key is a made-up one kept in session storage. */
export function browser(options: BrowserContextOptions = {}) {
  let context: BrowserContext | undefined;
  let profile = "";
  beforeAll(async () => {
    profile = mkdtempSync(join(tmpdir(), "agc-chromium-"));
    context = await chromium.launchPersistentContext(profile, {
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", headless: true, args, viewport: { width: 1440, height: 900 }, ...options,
    });
  });
  afterAll(async () => {
    await context?.close();
    rmSync(profile, { recursive: true, force: true });
  });
  return {
    url: inject("url"),
    context: () => { if (!context) throw new Error("no browser yet"); return context; },
    async open(path: string, key = "sk-ant-e2e-made-up"): Promise<Tab> {
      if (!context) throw new Error("no browser yet");
      const page = await context.newPage();
      const complaints: string[] = [];
      page.on("pageerror", (e) => complaints.push(`script: ${e.message}`));
      page.on("console", (m) => { if (m.type() === "error") complaints.push(`console: ${m.text()}`); });
      page.on("response", (r) => { if (r.status() >= 500) complaints.push(`${r.status()} ${r.url()}`); });
      await page.addInitScript((k) => {
        if (k) sessionStorage.setItem("agcluster.key", k);
        document.addEventListener("securitypolicyviolation", (e) => { console.error(`csp: ${e.violatedDirective} ${e.blockedURI}`); });
      }, key);
      await page.goto(inject("url") + path);
      return { page, complaints };
    },
  };
}
