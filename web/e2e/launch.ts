import { inject } from "vitest";

/** The key that browser() gives every tab. */
export const key = "sk-ant-e2e-made-up";

/** An MCP server of one file: a tool that tells of what it is asked. */
const tiny = `
import json, sys
def say(id, result): print(json.dumps({"jsonrpc": "2.0", "id": id, "result": result}), flush=True)
for line in sys.stdin:
    m = json.loads(line)
    if m.get("method") == "initialize": say(m["id"], {"protocolVersion": m["params"]["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": {"name": "tiny", "version": "1"}})
    elif m.get("method") == "tools/list": say(m["id"], {"tools": [{"name": "tell", "description": "Tells", "inputSchema": {"type": "object", "additionalProperties": True}}]})
    elif m.get("method") == "tools/call": say(m["id"], {"content": [{"type": "text", "text": json.dumps({"told": m["params"]["arguments"]})}]})
    elif "id" in m: say(m["id"], {})
`;

/** A configuration that may use every tool, with a policy that forbids sudo and a filter that takes secrets out. */
export const everything = {
  id: "e2e-everything", name: "Everything", version: "1.0.0", permission_mode: "bypassPermissions", max_turns: 60,
  allowed_tools: ["Bash", "Read", "Write", "Edit", "Grep", "Glob", "Task", "TodoWrite", "NotebookEdit", "WebFetch", "WebSearch"],
  resource_limits: { cpu_quota: 100_000, memory_limit: "2g", storage_limit: "2g" },
  agents: { reviewer: { description: "Reviews", prompt: "You review.", tools: ["Read"] } },
  mcp_servers: { tiny: { type: "stdio", command: "python3", args: ["-c", tiny] } },
  policies: [{ name: "tools", params: { deny: ["Bash(sudo *)"] } }], filters: ["secrets"],
};

/** One whose permission mode has Claude Code ask a person before it runs a command. */
export const asking = {
  id: "e2e-asking", name: "Asking", version: "1.0.0", permission_mode: "default", max_turns: 20, allowed_tools: ["Bash", "Read"],
  resource_limits: { cpu_quota: 100_000, memory_limit: "2g", storage_limit: "2g" },
};

async function call(method: string, path: string, body?: unknown): Promise<Response> {
  const answer = await fetch(inject("url") + path, {
    method, headers: { Authorization: `Bearer ${key}`, ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return answer;
}

/** Launches a session by the API; gives its id. */
export async function launch(config: object): Promise<string> {
  const answer = await call("POST", "/api/agents/launch", { api_key: key, config });
  return ((await answer.json()) as { session_id: string }).session_id;
}

/** Sends a message by the API and waits for the end of its turn. */
export async function say(id: string, message: string): Promise<void> { await call("POST", `/api/agents/${id}/chat`, { message }); }

export async function stop(id: string): Promise<void> { await call("DELETE", `/api/agents/sessions/${id}`); }

/** Puts an empty file into the workspace. A command of the model's script may wait for it: so a turn lasts as long as the test wants. */
export async function touch(id: string, name: string): Promise<void> {
  const form = new FormData();
  form.append("files", new Blob([""]), name);
  const answer = await fetch(`${inject("url")}/api/files/${id}/upload?overwrite=true`, { method: "POST", headers: { Authorization: `Bearer ${key}` }, body: form });
  if (!answer.ok) throw new Error(`uploading ${name}: ${answer.status} ${await answer.text()}`);
}

/** Puts a file into the workspace. */
export async function put(id: string, path: string, content: string | Buffer): Promise<void> {
  const answer = await fetch(`${inject("url")}/api/files/${id}/${encodeURIComponent(path)}`, { method: "PUT", headers: { Authorization: `Bearer ${key}` }, body: Buffer.from(content) });
  if (!answer.ok) throw new Error(`PUT ${path}: ${answer.status} ${await answer.text()}`);
}

/** What of an event the tests look at. */
export interface Told { event_id: number; type: string; turn?: number; content?: string; tool?: string; parent?: string; status?: string; is_error?: boolean }

/** Every kept event of a session. */
export async function history(id: string): Promise<Told[]> {
  const { messages, has_more } = (await (await call("GET", `/api/agents/${id}/messages?limit=1000`)).json()) as { messages: Told[]; has_more: boolean };
  if (has_more) throw new Error(`session ${id} has more events than are asked for`);
  return messages;
}

/** The bytes of a file in the workspace. */
export async function bytesOf(id: string, path: string): Promise<Buffer> {
  return Buffer.from(await (await call("GET", `/api/files/${id}/${path.split("/").map(encodeURIComponent).join("/")}?raw=true`)).arrayBuffer());
}

interface Node { name: string; type: string; path: string; children?: Node[] | null }

/** The paths of all files in the workspace, sorted. */
export async function filesOf(id: string): Promise<string[]> {
  const { tree } = (await (await call("GET", `/api/files/${id}`)).json()) as { tree: Node };
  const files = (node: Node): string[] => [...(node.type === "file" ? [node.path] : []), ...(node.children ?? []).flatMap(files)];
  return files(tree).sort();
}

/** Keeps a configuration as one of the users' own, and takes it away again. */
export async function keep(config: object): Promise<void> { await call("POST", "/api/configs/custom", config); }

export async function drop(config: string): Promise<void> { await call("DELETE", `/api/configs/custom/${config}`); }
