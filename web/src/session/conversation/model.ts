import type { InitEvent, Todo, Usage, Verdict } from "../types";

/** One entry of the conversation. Keys are the same however the events arrived. */
export type Row =
  | { kind: "user"; key: string; turn: number; at: number; content: string }
  | { kind: "text" | "thinking"; key: string; turn: number; at: number; content: string; live: boolean; cut: boolean }
  | { kind: "tool"; key: string; turn: number; at: number; call: string }
  | { kind: "error"; key: string; turn: number; at: number; code: string; message: string }
  | { kind: "verdict"; key: string; turn: number; at: number; verdict: Verdict }
  | { kind: "notice"; key: string; turn: number; at: number; text: string; tone: "plain" | "bad" }
  | { kind: "complete"; key: string; turn: number; at: number; status: "completed" | "interrupted" | "failed" | "max_turns"; usage: Usage; cost: number; trips: number; took: number };

/** An approval: the tool call waits for a person until it expires. */
export interface Approval {
  ask: string;
  call: string;
  tool: string;
  input: string;
  arguments: unknown;
  reason: string;
  /** Milliseconds since 1970 at which no answer becomes a denial. */
  expires: number;
  at: number;
  parent: string;
  /** How it ended; undefined while it waits. */
  decision?: "allow" | "deny";
  by?: string;
  why?: string;
}

/** A tool call with everything that became of it. */
export interface ToolCall {
  id: string;
  tool: string;
  input: string;
  arguments: unknown;
  /** Tool use id of the sub-agent's call that it belongs to; "" for the main agent. */
  parent: string;
  turn: number;
  began: number;
  /** Undefined while it runs. */
  ended?: number;
  output?: string;
  failed: boolean;
  /** True when its turn ended before it brought a result. */
  cutOff: boolean;
  verdicts: readonly Verdict[];
  approval?: Approval;
  /** What the sub-agent of this call said and did. */
  children: readonly Row[];
}

/** Everything the page knows of a session from its events. A value never changes; a later one shares what stayed the same. */
export interface Conversation {
  rows: readonly Row[];
  /** Every tool call, also those of sub-agents, in the order in which they were made. */
  calls: readonly ToolCall[];
  todos: readonly Todo[];
  /** Approvals that wait, the oldest first. */
  approvals: readonly Approval[];
  /** Number of the newest turn; 0 before the first. */
  turn: number;
  running: boolean;
  /** When the newest turn began, in milliseconds since 1970; 0 before the first. */
  turnBegan: number;
  /** How the newest finished turn ended. */
  lastComplete: "" | "completed" | "interrupted" | "failed" | "max_turns";
  status: string;
  /** Why it has that status, and its place in the queue of starts (0: not queued). */
  statusReason: string;
  position: number;
  init?: InitEvent;
  model: string;
  permissionMode: string;
  /** Sums of all finished turns. */
  usage: Usage;
  cost: number;
  /** Number of the newest event taken in. */
  last: number;
}

export const emptyConversation: Conversation = {
  rows: [], calls: [], todos: [], approvals: [], turn: 0, running: false, turnBegan: 0, lastComplete: "", status: "", statusReason: "", position: 0,
  model: "", permissionMode: "", cost: 0, last: 0,
  usage: { input_tokens: 0, output_tokens: 0, cache_read_input_tokens: 0, cache_creation_input_tokens: 0 },
};
