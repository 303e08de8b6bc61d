import type { SubAgent } from "@/app/types";
import { isRecord } from "./document";

/** A configuration as the form shows it: every field is there and has its type, whatever the text says. */
export interface View {
  id: string;
  name: string;
  description: string;
  version: string;
  tools: string[];
  prompt: Prompt;
  agents: [string, Required<Pick<SubAgent, "description" | "prompt">> & { tools: string[]; model: string }][];
  servers: [string, Server][];
  permissionMode: string;
  cpuQuota: number | undefined;
  memory: string;
  storage: string;
  maxTurns: number | undefined;
  model: string;
  cwd: string;
  env: [string, string][];
  settingSources: string[];
  egress: string;
  allow: string[];
  policies: { name: string; params: Record<string, unknown> }[];
  filters: string[];
}

/** none: nothing is said, and Claude Code's own prompt holds. */
export type Prompt = { kind: "none" } | { kind: "preset"; append: string } | { kind: "text"; text: string };

export interface Server { type: "stdio" | "sse" | "http"; command: string; args: string[]; env: [string, string][]; url: string; headers: [string, string][] }

const text = (value: unknown): string => typeof value === "string" ? value : typeof value === "number" || typeof value === "boolean" ? String(value) : "";
const number = (value: unknown): number | undefined => typeof value === "number" && Number.isFinite(value) ? value : undefined;
const texts = (value: unknown): string[] => Array.isArray(value) ? value.map(text).filter((s) => s !== "") : [];
const record = (value: unknown): Record<string, unknown> => isRecord(value) ? value : {};
const pairs = (value: unknown): [string, string][] => Object.entries(record(value)).map(([k, v]) => [k, text(v)]);

export function viewOf(raw: Record<string, unknown>): View {
  const limits = record(raw.resource_limits);
  const network = record(raw.network);
  return {
    id: text(raw.id), name: text(raw.name), description: text(raw.description), version: text(raw.version),
    tools: texts(raw.allowed_tools), prompt: promptOf(raw.system_prompt),
    agents: Object.entries(record(raw.agents)).map(([name, agent]) => {
      const a = record(agent);
      return [name, { description: text(a.description), prompt: text(a.prompt), tools: texts(a.tools), model: text(a.model) }];
    }),
    servers: Object.entries(record(raw.mcp_servers)).map(([name, server]) => [name, serverOf(record(server))]),
    permissionMode: text(raw.permission_mode), cpuQuota: number(limits.cpu_quota), memory: text(limits.memory_limit), storage: text(limits.storage_limit),
    maxTurns: number(raw.max_turns), model: text(raw.model), cwd: text(raw.cwd), env: pairs(raw.env), settingSources: texts(raw.setting_sources),
    egress: text(network.egress), allow: texts(network.allow),
    policies: Array.isArray(raw.policies) ? raw.policies.map((p) => ({ name: text(record(p).name), params: record(record(p).params) })) : [],
    filters: texts(raw.filters),
  };
}

function promptOf(raw: unknown): Prompt {
  if (typeof raw === "string") return { kind: "text", text: raw };
  if (isRecord(raw)) return { kind: "preset", append: text(raw.append) };
  return { kind: "none" };
}

function serverOf(raw: Record<string, unknown>): Server {
  const type = raw.type === "sse" || raw.type === "http" ? raw.type : "stdio";
  return { type, command: text(raw.command), args: texts(raw.args), env: pairs(raw.env), url: text(raw.url), headers: pairs(raw.headers) };
}
