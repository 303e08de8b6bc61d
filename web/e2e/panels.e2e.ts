import AxeBuilder from "@axe-core/playwright";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, describe, expect, it } from "vitest";
import { browser } from "./browser";

const key = "sk-ant-e2e-made-up";

describe("the panels of a session", () => {
  const b = browser();
  const folder = mkdtempSync(join(tmpdir(), "agc-panels-"));
  afterAll(() => { rmSync(folder, { recursive: true, force: true }); });

  async function call(path: string, init: RequestInit = {}): Promise<Response> {
    const answer = await fetch(b.url + path, { ...init, headers: { Authorization: `Bearer ${key}`, ...(init.headers as Record<string, string> | undefined) } });
    if (!answer.ok) throw new Error(`${init.method ?? "GET"} ${path}: ${answer.status} ${await answer.text()}`);
    return answer;
  }
  async function launch(): Promise<string> {
    const answer = await call("/api/agents/launch", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ api_key: key, config_id: "code-assistant" }) });
    return ((await answer.json()) as { session_id: string }).session_id;
  }
  const put = (id: string, path: string, body: BodyInit) => call(`/api/files/${id}/${encodeURIComponent(path)}`, { method: "PUT", body });
  const text = async (id: string, path: string) => (await call(`/api/files/${id}/${encodeURIComponent(path)}?raw=true`)).text();
  const chat = (id: string, message: string) => call(`/api/agents/${id}/chat`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ message }) });

  async function noSeriousViolation(page: Page) {
    const { violations } = await new AxeBuilder({ page }).analyze();
    expect(violations.filter((v) => v.impact === "serious" || v.impact === "critical").map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(" ")}`)).toEqual([]);
  }

  it("upload, rename, edit with a conflict, delete and export", async () => {
    const id = await launch();
    mkdirSync(join(folder, "pack", "deep"), { recursive: true });
    writeFileSync(join(folder, "pack", "deep", "inner.txt"), "inner\n");
    writeFileSync(join(folder, "note.md"), "first\n");
    const { page, complaints } = await b.open(`/sessions/${id}?panel=files`, key);
    await page.getByRole("tab", { name: "Files" }).waitFor();
    await page.getByText("The workspace is empty").waitFor();
    await noSeriousViolation(page);

    await page.getByLabel("Files to upload").setInputFiles(join(folder, "note.md"));
    await page.getByRole("treeitem", { name: "note.md" }).waitFor();
    await page.getByLabel("Folder to upload").setInputFiles(join(folder, "pack"));
    await page.getByRole("treeitem", { name: "pack" }).click();
    await page.getByRole("treeitem", { name: "deep" }).click();
    await page.getByRole("treeitem", { name: "inner.txt" }).waitFor();
    await noSeriousViolation(page);
    expect(await text(id, "pack/deep/inner.txt")).toBe("inner\n");

    // What is there is replaced only when somebody says so.
    writeFileSync(join(folder, "note.md"), "second\n");
    await page.getByLabel("Files to upload").setInputFiles(join(folder, "note.md"));
    await page.getByRole("dialog", { name: "The file is there already" }).getByRole("button", { name: "Skip" }).click();
    expect(await text(id, "note.md")).toBe("first\n");

    // By keyboard: End, then F2.
    await page.getByRole("tree", { name: "Files" }).focus();
    await page.keyboard.press("End");
    await page.keyboard.press("F2");
    await page.getByRole("dialog").getByLabel("Path").fill("kept/note.txt");
    await page.getByRole("button", { name: "Rename" }).click();
    await page.getByRole("treeitem", { name: "note.txt" }).click();

    // The viewer: edit, be overtaken, and be asked.
    await page.getByRole("button", { name: "Edit" }).click();
    const editor = page.getByRole("textbox", { name: "Text of note.txt" });
    await editor.press("Control+End");
    await page.keyboard.type("mine");
    await put(id, "kept/note.txt", "theirs\n");
    await page.keyboard.press("Control+s");
    const conflict = page.getByRole("dialog", { name: "note.txt has changed" });
    await conflict.getByText("theirs").first().waitFor();
    await noSeriousViolation(page);
    expect(await text(id, "kept/note.txt")).toBe("theirs\n");
    await conflict.getByRole("button", { name: "Overwrite with mine" }).click();
    await page.getByText("Saved note.txt").waitFor();
    expect(await text(id, "kept/note.txt")).toBe("first\nmine");

    await page.getByRole("tab", { name: "Files" }).click();
    const exported = page.waitForEvent("download");
    await page.getByRole("button", { name: "Export all as zip" }).click();
    expect((await exported).suggestedFilename()).toMatch(/\.zip$/);

    // Home, then typing leads to the row of that name.
    await page.getByRole("tree", { name: "Files" }).focus();
    await page.keyboard.press("Home");
    await page.keyboard.press("p");
    await page.keyboard.press("Delete");
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await page.getByRole("treeitem", { name: "pack", exact: true }).waitFor({ state: "detached" });
    // The conflict itself is an answer of 412, which the browser reports as a failed request.
    expect(complaints.filter((c) => !c.includes("412"))).toEqual([]);
    await page.close();
  });

  it("changes, terminal, resources, logs and details show what is so", async () => {
    const id = await launch();
    await put(id, "src/main.py", "print('one')\n");
    await chat(id, "panels make a change");
    const { page, complaints } = await b.open(`/sessions/${id}?panel=changes`, key);
    await page.getByRole("button", { name: /src\/main\.py/ }).click();
    await page.getByText("print('two')").waitFor();
    await noSeriousViolation(page);

    await page.getByRole("tab", { name: "Terminal" }).click();
    await page.getByText("connected", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Screen reader mode" }).click();
    await page.locator(".xterm-helper-textarea").focus();
    await page.keyboard.type("echo $((40+2))-here > typed.txt; echo do''ne\n");
    await page.locator(".xterm").getByText("done", { exact: true }).first().waitFor();
    expect(await text(id, "typed.txt")).toBe("42-here\n");
    await page.keyboard.press("F6");
    await noSeriousViolation(page);

    await page.getByRole("tab", { name: "Resources" }).click();
    await page.getByRole("region", { name: "Memory" }).locator("canvas").waitFor();
    await noSeriousViolation(page);
    await page.getByRole("switch", { name: "As a table" }).click();
    await page.getByRole("columnheader", { name: "Processes" }).waitFor();

    await page.getByRole("tab", { name: "Logs" }).click();
    await page.getByRole("region", { name: "Log", exact: true }).or(page.getByText("No lines")).or(page.getByText("Waiting for lines")).or(page.getByText("can't tell what its sandboxes write")).first().waitFor();
    await noSeriousViolation(page);

    await page.getByRole("tab", { name: "Details" }).click();
    await page.getByRole("region", { name: /^Configuration/ }).first().getByText("code-assistant").first().waitFor();
    await page.getByText(/^sha256:/).first().waitFor();
    await noSeriousViolation(page);
    // Routes that a host may not have (plugins; logs of some providers) answer 404 and 501.
    expect(complaints.filter((c) => !/\b(404|501)\b/.test(c))).toEqual([]);
    await page.close();
  });
});
