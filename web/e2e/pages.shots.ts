import { mkdirSync } from "node:fs";
import { resolve } from "node:path";
import type { Page } from "playwright-core";
import { beforeAll, describe, it } from "vitest";
import { browser } from "./browser";
import { everything, launch as launchAgent } from "./launch";
import { files as hostile, names, seen } from "./hostile";
import { fakeMCP } from "./mcp";

/*
 * Screenshots of every page and state, for people to look at: ../build/shots/NAME-WIDTH-THEME.png. SHOTS=launch,builder takes only those
 * whose names begin so. What is not there yet (a panel of another branch) is shown as it is.
 */

const key = "sk-ant-e2e-made-up";
const sizes = [{ width: 1440, height: 900 }, { width: 390, height: 844 }];
const themes = ["light", "dark"] as const;
const folder = resolve("../build/shots");
const wanted = (process.env.SHOTS ?? "").split(",").filter(Boolean);

/** What the shots are taken of: a session that talked, one that waits for an approval, and one that nobody has spoken to, whose workspace is full of odd files. */
interface Stage { talked: string; waiting: string; fresh: string }

interface Shot {
  name: string;
  path: string | ((stage: Stage) => string);
  /** Brings the page into the state; it is shot when this has ended. */
  prepare?: (page: Page) => Promise<unknown>;
  key?: string;
}

const panels = ["files", "changes", "tasks", "tools", "resources", "terminal", "logs", "details"];

const shots: Shot[] = [
  { name: "launch", path: "/launch" },
  { name: "launch-team", path: "/launch?config=fullstack-team" },
  { name: "launch-no-key", path: "/launch", key: "" },
  { name: "launch-message", path: "/launch", prepare: (page) => page.getByLabel("First message").fill("Write a parser for the log format in docs/format.md, test first.") },
  { name: "launch-failed", path: "/launch?config=code-assistant", prepare: async (page) => {
    await page.route("**/api/agents/launch", (route) => route.fulfill({ status: 503, headers: { "Retry-After": "30", "Content-Type": "application/problem+json" }, body: JSON.stringify({ detail: "20 starts are waiting already" }) }));
    await page.getByRole("button", { name: "Launch", exact: true }).click();
    await page.getByText("20 starts are waiting").waitFor();
  } },
  { name: "launch-mcp", path: "/launch?config=github-code-review", prepare: async (page) => {
    await fakeMCP(page);
    await page.reload();
    await page.getByRole("button", { name: /^Launch/ }).click();
    await page.getByText("can't work without it").first().waitFor();
  } },
  { name: "sessions", path: "/sessions", prepare: (page) => page.getByText("needs approval").first().waitFor() },
  { name: "sessions-chosen", path: "/sessions", prepare: async (page) => { await page.getByRole("checkbox", { name: /^Choose / }).last().click(); } },
  { name: "sessions-stop", path: "/sessions", prepare: async (page) => { await page.getByRole("button", { name: /^Stop / }).first().click(); await page.getByRole("dialog").waitFor(); } },
  { name: "sessions-none-fits", path: "/sessions?q=nothing-is-called-so" },
  { name: "sessions-no-key", path: "/sessions", key: "" },
  { name: "sessions-empty", path: "/sessions", key: "sk-ant-e2e-nobody" },
  { name: "key", path: "/launch", prepare: async (page) => { await page.getByRole("button", { name: "Your key is set" }).click(); await page.getByRole("dialog").waitFor(); } },
  { name: "palette", path: "/launch", prepare: async (page) => { await page.keyboard.press("Control+k"); await page.getByRole("option").first().waitFor(); } },
  { name: "shortcuts", path: "/platform", prepare: async (page) => { await page.keyboard.press("?"); await page.getByRole("dialog").waitFor(); } },
  { name: "builder-new", path: "/builder", prepare: settled },
  { name: "builder-preset", path: "/builder?config=fullstack-team", prepare: settled },
  { name: "builder-policies", path: "/builder?config=code-assistant", prepare: async (page) => { await settled(page); await page.getByRole("button", { name: "Policies", exact: true }).click(); } },
  { name: "builder-agents", path: "/builder?config=fullstack-team", prepare: async (page) => { await settled(page); await page.getByRole("button", { name: "Sub-agents", exact: true }).click(); } },
  { name: "builder-dry-run", path: "/builder?config=code-assistant", prepare: async (page) => { await settled(page); await page.getByRole("button", { name: "Ask the guard" }).click(); await page.getByRole("button", { name: "Ask the guard" }).scrollIntoViewIfNeeded(); } },
  { name: "builder-error", path: "/builder", prepare: async (page) => { await settled(page); await page.getByLabel("Round trips a turn").fill("5000"); await page.locator("input[aria-invalid=true]").waitFor(); } },
  { name: "builder-copy", path: "/builder?config=code-assistant", prepare: async (page) => { await settled(page); await page.getByRole("button", { name: "Save as…" }).click(); await page.getByRole("dialog").waitFor(); } },
  { name: "builder-test", path: "/builder", prepare: async (page) => { await settled(page); await page.getByRole("button", { name: "Test" }).click(); await page.getByRole("dialog").waitFor(); } },
  { name: "builder-dry-run-result", path: "/builder?config=code-assistant", prepare: async (page) => { await settled(page); await page.getByRole("button", { name: "Ask the guard" }).click(); const verdict = page.locator("#part-dryrun").getByText(/^(ask|deny|allow)$/).first(); await verdict.waitFor(); await verdict.scrollIntoViewIfNeeded(); } },
  { name: "builder-unreadable", path: "/builder", prepare: async (page) => { await settled(page); await page.getByLabel("File to import").setInputFiles({ name: "a.yaml", mimeType: "text/yaml", buffer: Buffer.from("id: a\nname: [\n") }); await page.getByText("The YAML can't be read now").waitFor(); } },
  { name: "builder-broken", path: "/platform", prepare: async (page) => {
    await page.route("**/api/configs/custom/list", (route) => route.fulfill({ json: { configs: [], broken: [{ id: "half-gone", error: "policies[0].name: there is no policy called quota" }], total: 0 } }));
    await page.goto(new URL("/builder?config=half-gone", page.url()).href);
    await page.getByText("there is no policy called quota").waitFor();
  } },
  { name: "builder-leave", path: "/builder", prepare: async (page) => { await settled(page); await page.getByRole("textbox", { name: "Name", exact: true }).fill("Not saved"); await page.getByRole("link", { name: "Launch" }).click(); await page.getByRole("dialog").waitFor(); } },
  { name: "host-away", path: "/sessions", prepare: async (page) => { await page.getByText("every card please").first().waitFor(); await page.route("**/health", (route) => route.abort()); await page.route("**/api/agents/sessions", (route) => route.abort()); await page.getByText("The host can't be reached").first().waitFor({ timeout: 60_000 }); } },
  { name: "builder-missing", path: "/builder?config=nothing-here" },
  ...["plugins", "policies", "providers", "settings", "about"].map((tab) => ({ name: `platform-${tab}`, path: `/platform?tab=${tab}` })),
  { name: "session", path: (s) => `/sessions/${s.talked}` },
  { name: "session-waiting", path: (s) => `/sessions/${s.waiting}` },
  ...panels.map((panel): Shot => ({ name: `session-${panel}`, path: (s) => `/sessions/${s.talked}?panel=${panel}` })),
  { name: "session-viewer", path: (s) => `/sessions/${s.talked}?panel=viewer&file=src%2Fhello.py` },
  { name: "session-notebook", path: (s) => `/sessions/${s.talked}?panel=viewer&file=note.ipynb` },
  { name: "session-new", path: (s) => `/sessions/${s.fresh}` },
  { name: "session-odd-names", path: (s) => `/sessions/${s.fresh}?panel=files`, prepare: (page) => page.getByRole("treeitem", { name: seen(names[1] ?? "") }).waitFor() },
  ...hostile.map(({ name, shown }): Shot => ({
    name: `session-view-${name}`, path: (s) => `/sessions/${s.fresh}?panel=viewer&file=${encodeURIComponent(name)}`, prepare: (page) => shown(page).waitFor({ timeout: 60_000 }),
  })),
  { name: "session-view-data.bin", path: (s) => `/sessions/${s.fresh}?panel=viewer&file=data.bin`, prepare: (page) => page.getByRole("region", { name: "Bytes" }).waitFor() },
  { name: "session-view-shot.png", path: (s) => `/sessions/${s.fresh}?panel=viewer&file=shot.png`, prepare: (page) => page.getByRole("region", { name: "Picture" }).waitFor() },
  { name: "session-top", path: (s) => `/sessions/${s.talked}`, prepare: (page) => page.getByRole("log").locator("..").evaluate((el) => { el.scrollTo({ top: 0 }); }) },
  { name: "session-missing", path: "/sessions/conv-00000000000000000000000000000000" },
  { name: "not-found", path: "/nowhere" },
];

/** The builder is there and the host has said what it finds. */
async function settled(page: Page) {
  await page.getByRole("group", { name: "Configuration" }).or(page.getByRole("tab", { name: "YAML" })).first().waitFor();
  await page.waitForLoadState("networkidle");
}

describe("screenshots", () => {
  const b = browser();
  const stage: Stage = { talked: "", waiting: "", fresh: "" };
  const post = async (path: string, body: unknown, accept = "application/json") => {
    const answer = await fetch(b.url + path, { method: "POST", headers: { "Content-Type": "application/json", Authorization: `Bearer ${key}`, Accept: accept }, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer;
  };
  const launch = async () => ((await (await post("/api/agents/launch", { api_key: key, config_id: "code-assistant" })).json()) as { session_id: string }).session_id;

  beforeAll(async () => {
    mkdirSync(folder, { recursive: true });
    stage.talked = await launchAgent(everything);
    await post(`/api/agents/${stage.talked}/chat`, { message: "every card please" });
    stage.waiting = await launch();
    const turn = await post(`/api/agents/${stage.waiting}/chat`, { message: "w3 push it to main" }, "text/event-stream");
    await turn.body?.cancel();
    stage.fresh = await launch();
    const put = async (name: string, body: BodyInit) => {
      const answer = await fetch(`${b.url}/api/files/${stage.fresh}/${encodeURIComponent(name)}`, { method: "PUT", headers: { Authorization: `Bearer ${key}` }, body });
      if (!answer.ok) throw new Error(`${name}: ${answer.status} ${await answer.text()}`);
    };
    for (const { name, content } of hostile) await put(name, typeof content === "string" ? content : new Uint8Array(content));
    for (const name of names) await put(name, "x\n");
    await put("data.bin", Uint8Array.from({ length: 4096 }, (_, i) => i % 256));
    const page = await b.context().newPage();
    await page.goto(`${b.url}/platform`);
    await put("shot.png", new Uint8Array(await page.screenshot()));
    await page.close();
  });

  for (const shot of shots.filter((s) => wanted.length === 0 || wanted.some((w) => s.name.startsWith(w)))) {
    it(shot.name, async () => {
      for (const size of sizes) {
        for (const theme of themes) {
          const page = await b.context().newPage();
          await page.setViewportSize(size);
          await page.addInitScript(([k, t]) => {
            if (k) sessionStorage.setItem("agcluster.key", k);
            if (t) localStorage.setItem("agcluster.theme", t);
          }, [shot.key ?? key, theme]);
          await page.goto(b.url + (typeof shot.path === "string" ? shot.path : shot.path(stage)));
          await page.getByRole("main").waitFor();
          // A session's stream is never idle: what is there after some seconds is what a person would see.
          await page.waitForLoadState("networkidle", { timeout: 4_000 }).catch(() => undefined);
          await shot.prepare?.(page);
          await page.screenshot({ path: resolve(folder, `${shot.name}-${size.width}-${theme}.png`), animations: "disabled" });
          await page.close();
        }
      }
    });
  }
});
