import { describe, expect, it } from "vitest";
import { violations } from "./axe";
import { browser } from "./browser";
import { fakeMCP } from "./mcp";

describe("launch", () => {
  const b = browser();

  it("launches a preset with its first message and goes to the session", async () => {
    const { page, complaints } = await b.open("/launch?config=research-agent");
    await page.getByRole("radio", { name: "Research Agent" }).and(page.locator("[data-state=checked]")).waitFor();
    await page.getByRole("radio", { name: "Code Assistant" }).click();
    await page.waitForURL(/config=code-assistant/);
    await page.getByLabel("First message").fill("w3 list what is there");
    await page.getByRole("button", { name: "Launch and send" }).click();
    await page.waitForURL(/\/sessions\/conv-/);
    await page.getByText(/Ready in .*(warm|cold) start/).first().waitFor();
    const id = page.url().split("/").pop()?.split("?")[0] ?? "";
    const history = await fetch(`${b.url}/api/agents/${id}/messages`, { headers: { Authorization: "Bearer sk-ant-e2e-made-up" } });
    expect(JSON.stringify(await history.json())).toContain("w3 list what is there");
    expect(complaints).toEqual([]);
    await page.close();
  });

  it("tells the queue, tries a full host again, and takes a launch back", async () => {
    const { page } = await b.open("/launch?config=code-assistant");
    let asked = 0;
    await page.route("**/api/agents/launch", async (route) => {
      asked++;
      if (asked === 1) {
        await route.fulfill({ status: 503, headers: { "Retry-After": "1", "Content-Type": "application/problem+json" }, body: JSON.stringify({ status: 503, detail: "20 starts are waiting already" }) });
      } else if (asked === 2) {
        await route.fulfill({ headers: { "Content-Type": "text/event-stream" }, body: 'data: {"type":"status","status":{"status":"queued","position":3}}\n\ndata: {"type":"problem","problem":{"status":500,"detail":"the sandbox would not start"}}\n\n' });
      }
    });
    await page.getByRole("button", { name: "Launch", exact: true }).click();
    await page.getByText("20 starts are waiting already. It is tried again in").waitFor();
    await page.getByText("the sandbox would not start").waitFor();
    expect(asked).toBe(2);
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByText("Asking the host.").waitFor();
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByText("Asking the host.").waitFor({ state: "detached" });
    await page.close();
  });

  it("asks for the credentials that a preset's MCP server lacks, and sends only those", async () => {
    const { page, complaints } = await b.open("/launch");
    await fakeMCP(page);
    let sent = "";
    await page.route("**/api/agents/launch", async (route) => {
      sent = route.request().postData() ?? "";
      await route.fulfill({ status: 422, headers: { "Content-Type": "application/problem+json" }, body: JSON.stringify({ status: 422, detail: "made-up refusal" }) });
    });
    await page.goto(`${b.url}/launch?config=github-code-review`);
    const token = page.getByLabel(/GITHUB_PERSONAL_ACCESS_TOKEN for github/);
    await token.waitFor();
    await page.getByRole("button", { name: "Launch", exact: true }).click();
    await page.getByText("github can't work without it.").waitFor();
    expect(sent).toBe("");
    await token.fill("made-up-token");
    expect(await token.getAttribute("type")).toBe("password");
    await page.getByRole("button", { name: "Show GITHUB_PERSONAL_ACCESS_TOKEN" }).click();
    expect(await token.getAttribute("type")).toBe("text");
    await page.getByRole("button", { name: "Launch", exact: true }).click();
    await page.getByText("made-up refusal").waitFor();
    expect(JSON.parse(sent)).toMatchObject({ config_id: "github-code-review", mcp_env: { github: { GITHUB_PERSONAL_ACCESS_TOKEN: "made-up-token" } } });
    // The refusal is ours.
    expect(complaints.filter((c) => !c.includes("422"))).toEqual([]);
    await page.close();
  });

  it("greys out a provider that can't be used and says why", async () => {
    const { page } = await b.open("/sessions");
    await page.route("**/api/providers", (route) => route.fulfill({ json: { providers: [{ name: "local", default: true, available: true, version: "1", capabilities: ["stats"] }, { name: "fly", default: false, available: false, reason: "FLY_API_TOKEN is not set" }], total: 2 } }));
    await page.goto(`${b.url}/launch`);
    await page.getByText("Not available: FLY_API_TOKEN is not set").waitFor();
    expect(await page.getByRole("radio", { name: "fly" }).isDisabled()).toBe(true);
    await page.getByText("can: stats").waitFor();
    expect(await violations(page)).toEqual([]);
    await page.close();
  });

  it("takes a key inline, keeps it out of local storage, and can do without one offline", async () => {
    const { page, complaints } = await b.open("/launch", "");
    await page.getByLabel("Your Anthropic key").fill("sk-ant-made-up-inline");
    await page.getByRole("button", { name: "Use this key" }).click();
    await page.getByRole("button", { name: "Your key is set" }).waitFor();
    expect(await page.evaluate(() => JSON.stringify([Object.entries(localStorage), Object.entries(sessionStorage)]))).not.toContain("sk-ant-made-up-inline");
    await page.getByRole("button", { name: "Your key is set" }).click();
    await page.getByRole("button", { name: "Forget the key" }).click();
    await page.getByRole("button", { name: "Try without a key" }).click();
    await page.getByRole("button", { name: "Your key is set" }).waitFor();
    expect(complaints).toEqual([]);
    await page.close();
  });

  it("goes anywhere by the keyboard", async () => {
    const { page, complaints } = await b.open("/launch");
    await page.getByRole("radio").first().waitFor();
    await page.keyboard.press("Control+k");
    await page.getByPlaceholder("Go to a page").fill("builder");
    await page.getByRole("option", { name: /^Builder/ }).waitFor();
    expect(await violations(page)).toEqual([]);
    await page.getByPlaceholder("Go to a page").fill("platform");
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/platform/);
    await page.keyboard.press("g");
    await page.keyboard.press("s");
    await page.waitForURL(/\/sessions$/);
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
    expect(complaints).toEqual([]);
    await page.close();
  });
});
