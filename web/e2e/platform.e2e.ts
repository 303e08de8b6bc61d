import { describe, expect, it } from "vitest";
import { violations } from "./axe";
import { browser } from "./browser";

describe("the platform page", () => {
  const b = browser();

  it.each([["plugins", "local"], ["policies", "sha256:"], ["providers", "Warm pool"], ["settings", "agent_image"], ["about", "OpenAPI document"]])("%s shows what the host is", async (tab, text) => {
    const { page, complaints } = await b.open(`/platform?tab=${tab}`);
    await page.getByText(text).first().waitFor();
    expect(await violations(page)).toEqual([]);
    await page.setViewportSize({ width: 390, height: 844 });
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390);
    expect(complaints).toEqual([]);
    await page.close();
  });

  it("shows what a plugin wrote", async () => {
    const { page, complaints } = await b.open("/platform?tab=plugins");
    await page.getByText("Log", { exact: true }).first().click();
    await page.getByRole("log").or(page.getByText("It has written nothing.")).first().waitFor();
    expect(complaints).toEqual([]);
    await page.close();
  });

  it("finds a setting, and those that are not the default", async () => {
    const { page, complaints } = await b.open("/platform?tab=settings");
    await page.getByRole("searchbox", { name: "Search settings" }).fill("offline enabled");
    await page.getByText("offline.enabled", { exact: true }).waitFor();
    await page.getByRole("searchbox", { name: "Search settings" }).fill("");
    await page.getByLabel("Only what is not the default").click();
    await page.getByText("offline.enabled", { exact: true }).waitFor();
    expect(complaints).toEqual([]);
    await page.close();
  });

  it("says so when the host lacks a route", async () => {
    const { page } = await b.open("/launch");
    await page.route("**/api/{plugins,settings,providers,about,policies}", (route) => route.fulfill({ status: 404, json: { status: 404, detail: "not found" } }));
    await page.goto(`${b.url}/platform?tab=plugins`);
    await page.getByText("This host has no list of plugins").waitFor();
    await page.getByRole("tab", { name: "Settings" }).click();
    await page.getByText("This host has no list of settings").waitFor();
    await page.getByRole("tab", { name: "Policies" }).click();
    await page.getByText("sha256:").first().waitFor();
    await page.getByRole("tab", { name: "Providers" }).click();
    await page.getByText("Warm pool").waitFor();
    await page.getByRole("tab", { name: "About" }).click();
    await page.getByText("OpenAPI document").waitFor();
    expect(await violations(page)).toEqual([]);
    await page.close();
  });
});
