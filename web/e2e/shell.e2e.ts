import AxeBuilder from "@axe-core/playwright";
import { describe, expect, it } from "vitest";
import { browser } from "./browser";

describe("the shell", () => {
  const b = browser();

  it.each(["/launch", "/sessions", "/builder", "/platform", "/nowhere"])("%s opens without a complaint and has no serious axe violation", async (path) => {
    const { page, complaints } = await b.open(path);
    await page.getByRole("main").waitFor();
    await page.waitForLoadState("networkidle");
    const { violations } = await new AxeBuilder({ page }).analyze();
    expect(violations.filter((v) => v.impact === "serious" || v.impact === "critical").map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(" ")}`)).toEqual([]);
    expect(complaints).toEqual([]);
    await page.close();
  });

  it("has the tests told of what the policy refuses, in a page and in a frame of it", async () => {
    const { page, complaints } = await b.open("/nowhere");
    await page.getByText("There is nothing at this address").waitFor();
    const add = (where: string) => page.evaluate((frame) => {
      const script = "window.ran = 1";
      if (frame) {
        const it = document.createElement("iframe");
        it.srcdoc = `<script>${script}</script>`;
        document.body.append(it);
      } else {
        const it = document.createElement("script");
        it.textContent = script;
        document.body.append(it);
      }
    }, where);
    await add("");
    await expect.poll(() => complaints.some((c) => c.includes("csp: script-src") && c.includes("/nowhere"))).toBe(true);
    complaints.length = 0;
    await add("frame");
    await expect.poll(() => complaints.some((c) => /csp: (script|frame|child|default)-src/.test(c))).toBe(true);
    expect(await page.evaluate(() => "ran" in window)).toBe(false);
    await page.close();
  });

  it("sends a strict policy with every page", async () => {
    const answer = await fetch(`${b.url}/sessions/conv-x`, { headers: { Accept: "text/html" } });
    expect(answer.headers.get("content-security-policy")).toContain("script-src 'self';");
    expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
    expect((await fetch(`${b.url}/api/nothing`, { headers: { Accept: "text/html" } })).status).toBe(404);
    expect((await fetch(`${b.url}/assets/nothing.js`)).status).toBe(404);
  });
});
