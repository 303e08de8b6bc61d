import type { components } from "@/api/schema";

/*
 * What the host says of itself: configurations, providers, policies, plugins, settings. Session and Config are the API's own types, with
 * what newer hosts add as optional fields; the rest are routes that a host may not have yet (the pages say so then).
 */

export type Health = components["schemas"]["Health"];
export type Pool = components["schemas"]["PoolHealth"];
export type Config = components["schemas"]["Config"];
export type Summary = components["schemas"]["Summary"];
export type McpServer = components["schemas"]["MCPServer"];
export type SubAgent = components["schemas"]["SubAgent"];
export type Launched = components["schemas"]["Launched"];
export type LaunchRequest = components["schemas"]["LaunchRequest"];
export type LaunchProgress = components["schemas"]["LaunchProgress"];
export type AgentEvent = components["schemas"]["Event"];

export type Session = components["schemas"]["Session"];

export interface Provider {
  name: string;
  default: boolean;
  available: boolean;
  reason?: string;
  version?: string;
  capabilities?: string[] | null;
}

export interface Providers { providers: Provider[] | null; pool?: Pool; total: number }

/** A JSON Schema, as far as forms are made from it. */
export interface Schema {
  type?: string | string[];
  title?: string;
  description?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  enum?: (string | number | boolean)[];
  default?: unknown;
  minimum?: number;
  maximum?: number;
  pattern?: string;
  additionalProperties?: boolean | Schema;
}

export interface PolicyDetails {
  name: string;
  description?: string;
  version?: string;
  gates?: string[] | null;
  digest?: string;
  params_schema?: Schema | null;
  params?: Record<string, unknown> | null;
  verdicts?: { allow?: number; deny?: number; ask?: number; rewrite?: number } | null;
}

export interface PluginDetails {
  name: string;
  kind: string;
  version?: string;
  state: string;
  pid?: number;
  restarts?: number;
  started_at?: string;
  last_error?: string;
  capabilities?: string[] | null;
  options_schema?: Schema | null;
  options?: Record<string, unknown> | null;
}

export interface LogLine { time: string; level: string; message: string }

export interface Setting {
  key: string;
  value: unknown;
  default?: unknown;
  source: string;
  /** The file with its line, the variable or the flag. */
  from?: string;
  env?: string;
  limits?: string;
  doc?: string;
}

export interface About {
  version: string;
  go_version?: string;
  claude_code_version?: string;
  started_at?: string;
  offline?: boolean;
  provider?: string;
  terminal?: boolean;
  docs?: string;
}

export interface Tool { name: string; category: string; description: string }
