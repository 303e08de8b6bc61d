import { afterEach, describe, expect, it, vi } from "vitest";
import { Problem, problemOf } from "@/api/problem";
import type { Launched, LaunchRequest } from "@/app/types";
import { lacking, mcpEnv, variables, withGiven, withoutHidden } from "./credentials";
import { limitsOf, networkOf, sizeOf } from "./facts";
import { launchAgent, type Progress } from "./launch";
import { dataOf, values } from "./stream";

/** An event stream that comes in these pieces. */
function streamed(...pieces: string[]): Response {
  const bytes = new TextEncoder();
  const body = new ReadableStream<Uint8Array>({
    start(c) {
      for (const p of pieces) c.enqueue(bytes.encode(p));
      c.close();
    },
  });
  return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
}

async function all<T>(response: Response): Promise<T[]> {
  const out: T[] = [];
  for await (const v of values<T>(response)) out.push(v);
  return out;
}

describe("an event stream", () => {
  it("is read whatever pieces it comes in", async () => { expect(await all(streamed('data: {"a"', ':1}\n', '\ndata: {"a":2}\n\n: beat\n\nda', 'ta: [DONE]\n\ndata: {"a":3}\n\n'))).toEqual([{ a: 1 }, { a: 2 }]); });
  it("may end its lines with CRLF and name its events", async () => { expect(await all(streamed('event: x\r\nid: 3\r\ndata: {"a":1}\r\n\r\n'))).toEqual([{ a: 1 }]); });
  it("is an error where it is no JSON", async () => { await expect(all(streamed("data: nonsense\n\n"))).rejects.toThrow("can't be read"); });
  it("joins data on several lines", () => { expect(dataOf("data: a\ndata:b\n: no")).toBe("a\nb"); });
});

describe("a launch", () => {
  afterEach(() => vi.unstubAllGlobals());
  const body = { api_key: "sk-made-up", config_id: "code-assistant" } satisfies LaunchRequest;
  const session: Launched = { session_id: "conv-1", agent_id: "agent-1", config_id: "code-assistant", status: "running", start: "warm" };
  const go = async (answer: Response) => {
    vi.stubGlobal("fetch", () => Promise.resolve(answer));
    const seen: Progress[] = [];
    return { seen, session: await launchAgent(body, new AbortController().signal, (p) => seen.push(p)) };
  };
  const data = (value: unknown) => `data: ${JSON.stringify(value)}\n\n`;

  it("tells the place in the queue, the start and the session", async () => {
    expect(await go(streamed(data({ type: "status", status: { status: "queued", position: 2 } }), data({ type: "status", status: { status: "starting" } }), data({ type: "launched", session })))).toEqual({
      seen: [{ at: "queued", position: 2 }, { at: "starting" }], session,
    });
  });
  it("may be answered at once", async () => { expect((await go(Response.json(session))).session).toEqual(session); });
  it("fails with the host's problem, also in mid-stream", async () => {
    await expect(go(streamed(data({ type: "problem", problem: { status: 500, detail: "no sandbox" } })))).rejects.toMatchObject({ status: 500, detail: "no sandbox" });
  });
  it("says so when the host goes away", async () => { await expect(go(streamed(data({ type: "status", status: { status: "starting" } })))).rejects.toBeInstanceOf(Problem); });
  it("keeps when to try again", async () => {
    const problem = await problemOf(Response.json({ detail: "full" }, { status: 503, headers: { "Retry-After": "7" } }));
    expect(problem).toMatchObject({ status: 503, retryAfter: 7 });
    expect((await problemOf(Response.json({}, { status: 503 }))).retryAfter).toBeUndefined();
  });
});

describe("credentials", () => {
  const vars = variables({ mcp_servers: { github: { command: "npx", env: { TOKEN: "", HOST: "***", REF: "${REF}" } }, web: { type: "http", url: "https://example.org", headers: { A: "***" } } } });
  it("are what the servers declare; what has no value is required", () => {
    expect(vars).toEqual([
      { server: "github", name: "TOKEN", required: true }, { server: "github", name: "HOST", required: false }, { server: "github", name: "REF", required: true },
    ]);
  });
  it("are lacking until they are given, blanks not counted", () => {
    expect(lacking(vars, { github: { TOKEN: " ", REF: "x" } }).map((v) => v.name)).toEqual(["TOKEN"]);
    expect(lacking(vars, { github: { TOKEN: "t", REF: "x" } })).toEqual([]);
  });
  it("go with the launch only if they belong to it", () => { expect(mcpEnv(vars, { github: { TOKEN: "t", HOST: "", OTHER: "x" }, gone: { A: "b" } })).toEqual({ github: { TOKEN: "t" } }); });
});

describe("hidden values", () => {
  const config = { id: "x", env: { A: "***", B: "b" }, mcp_servers: { github: { command: "npx", env: { TOKEN: "***", MODE: "fast" } }, web: { type: "http", url: "https://example.org", headers: { Auth: "***" } }, half: null } };
  it("are required of a person when the configuration goes along with the launch", () => {
    expect(variables(config).filter((v) => v.required)).toEqual([]);
    expect(variables(config, true).filter((v) => v.required).map((v) => v.name)).toEqual(["TOKEN"]);
  });
  it("are replaced by what was given for their server, and nothing else is", () => {
    expect(withGiven(config, { github: { TOKEN: "t", MODE: "slow", A: "no" } })).toEqual({ ...config, mcp_servers: { ...config.mcp_servers, github: { command: "npx", env: { TOKEN: "t", MODE: "fast" } } } });
  });
  it("are left out of a question", () => {
    expect(withoutHidden(config)).toEqual({ id: "x", env: { B: "b" }, mcp_servers: { github: { command: "npx", env: { MODE: "fast" } }, web: { type: "http", url: "https://example.org", headers: {} }, half: null } });
  });
  it("are no matter in what is half written", () => {
    for (const servers of [null, "x", [], { a: "b" }, { a: { env: [] } }]) expect(variables({ mcp_servers: servers }, true)).toEqual([]);
  });
});

describe("facts of a configuration", () => {
  it("are as people say them", () => {
    expect(limitsOf({ resource_limits: { cpu_quota: 150_000, memory_limit: "4g", storage_limit: "512m" }, max_turns: 10 })).toEqual(["1.5 CPU", "4 GiB memory", "512 MiB disk", "10 turns"]);
    expect(sizeOf("lots")).toBe("lots");
    expect(networkOf({ network: { egress: "allowlist", allow: ["a", "b"] } })).toBe("2 hosts");
    expect(networkOf({})).toBe("open network");
  });
});
