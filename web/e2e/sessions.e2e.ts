import { beforeAll, describe, expect, it } from "vitest";
import { violations } from "./axe";
import { browser } from "./browser";

// A key of this file's own: its sessions are the only ones on the page.
const key = "sk-ant-e2e-sessions";

describe("sessions", () => {
  const b = browser();
  const call = async (method: string, path: string, body?: unknown, accept = "application/json") => {
    const answer = await fetch(b.url + path, { method, headers: { "Content-Type": "application/json", Authorization: `Bearer ${key}`, Accept: accept }, ...(body ? { body: JSON.stringify(body) } : {}) });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer;
  };
  const launch = async (config_id: string) => ((await (await call("POST", "/api/agents/launch", { api_key: key, config_id })).json()) as { session_id: string }).session_id;

  beforeAll(async () => {
    await launch("research-agent");
    const id = await launch("code-assistant");
    const turn = await call("POST", `/api/agents/${id}/chat`, { message: "w3 push it to main" }, "text/event-stream");
    await turn.body?.cancel();
  });

  it("shows what each does, live, and finds and filters by the address", async () => {
    const { page, complaints } = await b.open("/sessions", key);
    await page.getByText("needs approval").waitFor();
    expect(await page.getByRole("row").count()).toBe(3);
    expect(await violations(page)).toEqual([]);
    await page.getByRole("button", { name: /^waiting/ }).click();
    await page.waitForURL(/status=waiting/);
    expect(await page.getByRole("row").count()).toBe(2);
    await page.reload();
    await page.getByText("needs approval").waitFor();
    expect(await page.getByRole("row").count()).toBe(2);
    await page.getByRole("button", { name: /^waiting/ }).click();
    await page.getByRole("searchbox").fill("research");
    await page.waitForURL(/q=research/);
    await page.getByText("needs approval").waitFor({ state: "detached" });
    await page.getByRole("searchbox").fill("nothing is called so");
    await page.getByRole("button", { name: "Show all 2" }).click();
    await page.getByText("needs approval").waitFor();
    await page.getByRole("button", { name: "Status" }).click();
    await page.waitForURL(/sort=status/);
    expect(await page.getByRole("columnheader", { name: "Status" }).getAttribute("aria-sort")).toBe("descending");
    expect(complaints).toEqual([]);
    await page.close();
  });

  it("shows title, last line and countdown when the host tells them", async () => {
    const { page } = await b.open("/platform", key);
    await page.route("**/api/agents/sessions", async (route) => {
      const answer = await route.fetch();
      const list = (await answer.json()) as { sessions: object[] };
      const soon = new Date(Date.now() + 90_000).toISOString();
      await route.fulfill({ response: answer, json: { ...list, sessions: list.sessions.map((s) => ({ ...s, activity: "idle", status: "running", waiting: 0, title: "A title of its own", last_line: "The last line it said", idle_expires_at: soon })) } });
    });
    await page.goto(`${b.url}/sessions`);
    await page.getByText("A title of its own").first().waitFor();
    await page.getByText("The last line it said").first().waitFor();
    await page.getByText(/sleeps in 1 min/).first().waitFor();
    await page.close();
  });

  it("is a list of cards on a phone", async () => {
    const { page, complaints } = await b.open("/sessions", key);
    await page.setViewportSize({ width: 390, height: 844 });
    await page.getByRole("listitem").filter({ hasText: "needs approval" }).waitFor();
    expect(await page.getByRole("table").count()).toBe(0);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390);
    expect(await violations(page)).toEqual([]);
    expect(complaints).toEqual([]);
    await page.close();
  });

  it("stops those that were chosen, once it was confirmed", async () => {
    const { page, complaints } = await b.open("/sessions", key);
    await page.getByRole("checkbox", { name: "Choose all" }).click();
    await page.getByText("2 chosen").waitFor();
    await page.getByRole("button", { name: "Stop 2" }).click();
    await page.getByRole("dialog", { name: "Stop 2 sessions?" }).waitFor();
    expect(await violations(page)).toEqual([]);
    await page.getByRole("button", { name: "Keep" }).click();
    expect(((await (await call("GET", "/api/agents/sessions")).json()) as { total: number }).total).toBe(2);
    await page.getByRole("button", { name: "Stop 2" }).click();
    await page.getByRole("button", { name: "Stop for good" }).click();
    await page.getByText("No session yet").waitFor();
    expect(((await (await call("GET", "/api/agents/sessions")).json()) as { total: number }).total).toBe(0);
    expect(complaints).toEqual([]);
    await page.close();
  });

  it("asks for a key first", async () => {
    const { page } = await b.open("/sessions", "");
    await page.getByText("Sessions belong to a key").waitFor();
    await page.getByRole("button", { name: "Set your key", exact: true }).last().click();
    await page.getByRole("dialog", { name: "Your Anthropic key" }).waitFor();
    await page.close();
  });
});
