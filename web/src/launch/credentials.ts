import type { Config } from "@/app/types";

/** An environment variable that an MCP server of a configuration declares. */
export interface Variable {
  server: string;
  name: string;
  /** Nothing is set for it: the server can't work without it. */
  required: boolean;
}

export type Credentials = Record<string, Record<string, string>>;

/**
 * The variables that the stdio servers of a configuration declare in their env. An empty value, or one that only refers to a variable
 * (`${TOKEN}`), has to be given at the launch; any other is the operator's, which the host hides as `***` and which may be replaced.
 */
export function variables(config: Config): Variable[] {
  return Object.entries(config.mcp_servers ?? {}).flatMap(([server, s]) =>
    Object.entries(s.env ?? {}).map(([name, value]) => ({ server, name, required: value === "" || /^\$\{?\w+\}?$/.test(value) })));
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
