import { readdirSync, readFileSync } from "node:fs";
import type { Page } from "playwright-core";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { violations } from "./axe";
import { browser } from "./browser";

// Every preset that ships with the host.
const presets = readdirSync("../presets").filter((f) => f.endsWith(".yaml")).map((f) => f.replace(/\.yaml$/, ""));
const editor = (page: Page) => page.getByLabel("The configuration as YAML");
// By its accessible name: the mark of a required field is not part of it.
const field = (page: Page, name: string) => page.getByRole("region", { name: "What it is" }).getByRole("textbox", { name, exact: true });
const unique = `e2e-${Date.now().toString(36)}`;

/** The YAML as it would be exported. */
async function exported(page: Page): Promise<string> {
  await page.getByRole("button", { name: "More" }).click();
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("menuitem", { name: "Export YAML" }).click()]);
  return readFileSync(await file.path(), "utf8");
}

/** The comments of a YAML text, in their order. */
const comments = (text: string) => text.split("\n").flatMap((line) => /^\s*#|\s#\s/.test(line) ? [line.slice(line.indexOf("#"))] : []);

/** What the API says, without what is hidden or filled in to nothing. */
async function told(url: string, id: string): Promise<Record<string, unknown>> {
  const answer = await fetch(`${url}/api/configs/${id}`);
  expect(answer.status).toBe(200);
  return (await answer.json()) as Record<string, unknown>;
}

/** A configuration with the values of env left out: the host hides those of one's own, as they may be credentials. */
const hidden = (c: unknown) => ({ ...(c as object), env: Object.keys((c as { env?: object }).env ?? {}) });

describe("the builder", () => {
  const b = browser();

  it.each(presets)("%s: loaded, saved as one's own and changed there, it means what it should", async (id) => {
    const { page, complaints } = await b.open(`/builder?config=${id}`);
    const file = parse(readFileSync(`../presets/${id}.yaml`, "utf8")) as Record<string, unknown>;
    const fine = page.getByText("The host finds nothing wrong.");
    await fine.waitFor();
    const loaded = await exported(page);
    expect(parse(loaded)).toEqual(file);
    expect(parse(loaded)).toEqual(await told(b.url, id));

    // Saved as it is.
    const own = `${unique}-${id}`;
    await page.getByRole("button", { name: "Save as…" }).click();
    await page.getByRole("dialog").getByLabel("Id").fill(own);
    await page.getByRole("dialog").getByLabel("Name").fill("A copy");
    await page.getByRole("dialog").getByRole("button", { name: "Save" }).click();
    await page.waitForURL(new RegExp(`config=${own}`));
    await page.getByRole("status").filter({ hasText: /^saved$/ }).waitFor();
    expect(hidden(parse(await exported(page)))).toEqual(hidden({ ...file, id: own, name: "A copy" }));

    // A field of the form, then a line of the YAML; each is in the other, and nothing else has changed.
    await field(page, "Description").fill("Changed in the form: #1, \"quoted\"");
    await editor(page).getByText("Changed in the form").first().waitFor();
    await editor(page).getByText(`id: ${own}`).click();
    await page.keyboard.press("End");
    await page.keyboard.type("\nmodel: haiku");
    await page.waitForFunction(() => [...document.querySelectorAll("input")].some((i) => i.value === "haiku"));
    await page.getByLabel("Round trips a turn").fill("77");
    await page.getByRole("button", { name: "Save", exact: true }).click();
    await page.getByRole("status").filter({ hasText: /^saved$/ }).waitFor();
    const changed = hidden({ ...file, id: own, name: "A copy", description: 'Changed in the form: #1, "quoted"', model: "haiku", max_turns: 77 });
    expect(hidden(await told(b.url, own))).toEqual(changed);
    await page.reload();
    await fine.waitFor();
    expect(hidden(parse(await exported(page)))).toEqual(changed);

    await page.getByRole("button", { name: "More" }).click();
    await page.getByRole("menuitem", { name: "Delete" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await page.waitForURL(/\/builder$/);
    expect((await fetch(`${b.url}/api/configs/${own}`)).status).toBe(404);
    expect(complaints).toEqual([]);
    await page.close();
  });

  it.each(presets)("%s: its comments are kept through changes in the form and in the YAML", async (id) => {
    const { page, complaints } = await b.open("/builder");
    const file = readFileSync(`../presets/${id}.yaml`, "utf8");
    await editor(page).waitFor();
    await page.getByLabel("File to import").setInputFiles({ name: `${id}.yaml`, mimeType: "application/yaml", buffer: Buffer.from(file) });
    await editor(page).getByText(`id: ${id}`).waitFor();
    await field(page, "Name").fill("Renamed");
    await editor(page).getByText("name: Renamed").click();
    await page.keyboard.press("End");
    await page.keyboard.type("\nmodel: haiku # typed");
    await page.waitForFunction(() => [...document.querySelectorAll("input")].some((i) => i.value === "haiku"));
    await page.getByLabel("Round trips a turn").fill("77");
    await editor(page).getByText("max_turns: 77").waitFor();
    const text = await exported(page);
    expect(parse(text)).toEqual({ ...(parse(file) as object), name: "Renamed", model: "haiku", max_turns: 77 });
    expect(comments(text).sort()).toEqual([...comments(file), "# typed"].sort());
    expect(complaints).toEqual([]);
    await page.close();
  });

  it("keeps form and YAML the same, whichever is written in", async () => {
    const { page, complaints } = await b.open("/builder");
    await editor(page).waitFor();
    await field(page, "Name").fill("From the form");
    await editor(page).getByText("name: From the form").waitFor();
    expect(await editor(page).getByText("# 1 CPU").count()).toBe(1);
    await page.getByRole("checkbox", { name: "WebFetch for the agent" }).click();
    await editor(page).getByText("TodoWrite, WebFetch]").waitFor();
    await editor(page).getByText("version: 1.0.0").click();
    await page.keyboard.press("End");
    await page.keyboard.type("\nmodel: haiku");
    await page.waitForFunction(() => [...document.querySelectorAll("input")].some((i) => i.value === "haiku"));
    expect(await violations(page)).toEqual([]);
    expect(complaints).toEqual([]);
    await page.close();
  });

  it("marks an error at its field and at its line", async () => {
    const { page, complaints } = await b.open("/builder");
    await page.getByText("The host finds nothing wrong.").waitFor();
    await page.getByLabel("Round trips a turn").fill("5000");
    await page.getByRole("status", { name: "Problems" }).getByText("max_turns").waitFor();
    await page.locator(".cm-lint-marker-error").first().waitFor();
    expect(await page.getByLabel("Round trips a turn").getAttribute("aria-invalid")).toBe("true");
    await page.getByLabel("Round trips a turn").fill("");
    await page.getByText("The host finds nothing wrong.").waitFor();
    await editor(page).getByText("name: My Agent").click();
    await page.keyboard.press("End");
    await page.keyboard.type("\nbroken: [");
    await page.getByText("The YAML can't be read now").waitFor();
    expect(await field(page, "Name").isDisabled()).toBe(true);
    expect(complaints).toEqual([]);
    await page.close();
  });

  it("has a form for a policy's parameters and asks the guard itself", async () => {
    const { page, complaints } = await b.open("/builder?config=code-assistant");
    await page.getByText("The host finds nothing wrong.").waitFor();
    await page.getByRole("group", { name: "tools", exact: true }).getByLabel("deny", { exact: true }).fill("Bash(rm *)");
    await editor(page).getByText("Bash(rm *)").waitFor();
    await page.getByLabel("Arguments", { exact: true }).last().fill('{"command": "rm -rf x"}');
    await page.getByRole("button", { name: "Ask the guard" }).click();
    await page.locator("#part-dryrun").getByText("deny", { exact: true }).first().waitFor();
    await page.getByLabel("Arguments", { exact: true }).last().fill('{"command": "ls"}');
    await page.getByRole("button", { name: "Ask the guard" }).click();
    await page.locator("#part-dryrun").getByText("allow", { exact: true }).first().waitFor();
    expect(complaints).toEqual([]);
    await page.close();
  });

  it("shows a configuration of one's own that can't be used, and lets it be written anew or deleted", async () => {
    const { page, complaints } = await b.open("/platform");
    await page.route("**/api/configs/custom/list", (route) => route.fulfill({ json: { configs: [], broken: [{ id: "half-gone", error: "policies[0].name: there is no policy called quota" }], total: 0 } }));
    await page.goto(`${b.url}/builder?config=half-gone`);
    await page.getByText("there is no policy called quota").waitFor();
    expect(await violations(page)).toEqual([]);
    await page.getByRole("button", { name: "Write it anew" }).click();
    await editor(page).getByText("id: half-gone").waitFor();
    // The host has no such file, so what it answers to its text is not of interest here.
    expect(complaints.filter((c) => !c.includes("404"))).toEqual([]);
    await page.close();
  });

  it("does not lose what is not saved", async () => {
    const { page, complaints } = await b.open("/builder");
    await editor(page).waitFor();
    await field(page, "Name").fill("Not saved");
    await page.getByRole("link", { name: "Launch" }).click();
    await page.getByRole("dialog", { name: "Leave without saving?" }).waitFor();
    await page.getByRole("button", { name: "Stay" }).click();
    expect(await field(page, "Name").inputValue()).toBe("Not saved");
    await page.getByRole("link", { name: "Launch" }).click();
    await page.getByRole("button", { name: "Leave" }).click();
    await page.waitForURL(/\/launch/);
    expect(complaints).toEqual([]);
    await page.close();
  });

  it("imports a file", async () => {
    const { page, complaints } = await b.open("/builder");
    await editor(page).waitFor();
    await page.getByLabel("File to import").setInputFiles({ name: "a.json", mimeType: "application/json", buffer: Buffer.from('{"id": "from-json", "name": "From JSON", "allowed_tools": ["Read"]}') });
    await editor(page).getByText("id: from-json").waitFor();
    expect(await field(page, "Name").inputValue()).toBe("From JSON");
    expect(complaints).toEqual([]);
    await page.close();
  });

  it("talks to an agent with the configuration as it is, and stops it afterwards", async () => {
    const key = "sk-ant-e2e-builder";
    const { page, complaints } = await b.open("/builder", key);
    await editor(page).waitFor();
    await page.getByRole("button", { name: "Test" }).click();
    await page.getByLabel("Message to the test agent").fill("w3 list it");
    await page.getByRole("button", { name: "Send" }).click();
    await page.getByText("That is what is there.").waitFor();
    await page.getByRole("log").getByText(/echo listed-by-w3/).waitFor();
    expect(await violations(page)).toEqual([]);
    const stopped = page.waitForResponse((r) => r.request().method() === "DELETE" && r.url().includes("/api/agents/sessions/"));
    await page.getByRole("button", { name: "Close" }).click();
    expect((await stopped).status()).toBe(200);
    expect(complaints).toEqual([]);
    await page.close();
  });
});
