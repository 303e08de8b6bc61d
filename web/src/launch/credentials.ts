import type { Config } from "@/app/types";

/** An environment variable that an MCP server of a configuration declares. */
export interface Variable {
  server: string;
  name: string;
  /** Nothing is set for it: the server can't work without it. */
  required: boolean;
}

export type Credentials = Record<string, Record<string, string>>;

/** What the host shows in the place of a value that may be a credential. */
const hidden = "***";

/** The entries of what should be a map; what is being written may be anything. */
const entries = (value: unknown): [string, unknown][] => typeof value === "object" && value !== null && !Array.isArray(value) ? Object.entries(value) : [];
const field = (value: unknown, name: string): unknown => entries(value).find(([key]) => key === name)?.[1];

/**
 * The variables that the stdio servers of a configuration declare in their env. An empty value, or one that only refers to a variable
 * (`${TOKEN}`), has to be given at the launch; any other is the operator's, which the host hides as `***` and which may be replaced. inline:
 * the configuration goes along with the launch, where the host can't know what a hidden value stands for.
 */
export function variables(config: Config | Record<string, unknown>, inline = false): Variable[] {
  const lacks = (value: unknown) => value === "" || value === null || (typeof value === "string" && /^\$\{?\w+\}?$/.test(value)) || (inline && value === hidden);
  return entries(config.mcp_servers).flatMap(([server, s]) => entries(field(s, "env")).map(([name, value]) => ({ server, name, required: lacks(value) })));
}

/** A configuration with each value of env and headers as to says; undefined leaves it out. server is the MCP server that it is of, if any. */
function mapped(config: Record<string, unknown>, to: (value: unknown, name: string, server?: string) => unknown): Record<string, unknown> {
  const pairs = (map: unknown, server?: string) => Object.fromEntries(entries(map).map(([name, value]) => [name, to(value, name, server)] as const).filter(([, value]) => value !== undefined));
  const within = (it: Record<string, unknown>, server?: string) => ({
    ...it, ...Object.fromEntries(["env", "headers"].filter((part) => entries(it[part]).length > 0).map((part) => [part, pairs(it[part], server)])),
  });
  const servers = entries(config.mcp_servers).map(([name, it]) => [name, entries(it).length > 0 ? within(Object.fromEntries(entries(it)), name) : it] as const);
  return { ...within(config), ...(servers.length > 0 ? { mcp_servers: Object.fromEntries(servers) } : {}) };
}

/** A configuration without the values that are hidden: as good as with them for a question, though not for a launch. */
export function withoutHidden(config: Record<string, unknown>): Record<string, unknown> {
  return mapped(config, (value) => value === hidden ? undefined : value);
}

/** A configuration with the given values in the place of those that its MCP servers have hidden. */
export function withGiven(config: Record<string, unknown>, given: Credentials): Record<string, unknown> {
  return mapped(config, (value, name, server) => value === hidden && server !== undefined ? given[server]?.[name] ?? value : value);
}

/** The variables that still have to be given. */
export function lacking(vars: Variable[], given: Credentials): Variable[] {
  return vars.filter((v) => v.required && !given[v.server]?.[v.name]?.trim());
}

/** What of the given values belongs to the variables and is not empty, as a launch takes it. */
export function mcpEnv(vars: Variable[], given: Credentials): Credentials {
  const out: Credentials = {};
  for (const { server, name } of vars) {
    const value = given[server]?.[name];
    if (value) out[server] = { ...out[server], [name]: value };
  }
  return out;
}
