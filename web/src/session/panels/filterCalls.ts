import type { ToolCall } from "../conversation/model";
import { toolName } from "../tools/args";

export type CallState = "all" | "running" | "failed" | "verdict";

export const states: Record<CallState, string> = { all: "All", running: "Running", failed: "Failed", verdict: "With a verdict" };

export interface CallFilter { tool: string; state: CallState; word: string }

/** The calls of one tool, that went so, with a word in their input or output; case does not matter. */
export function filterCalls(calls: readonly ToolCall[], { tool, state, word }: CallFilter): readonly ToolCall[] {
  if (!tool && state === "all" && !word) return calls;
  const w = word.toLowerCase();
  return calls.filter((c) =>
    (!tool || toolName(c.tool) === tool)
    && (state === "all" || (state === "running" && c.ended === undefined) || (state === "failed" && c.failed) || (state === "verdict" && (c.verdicts.length > 0 || c.approval !== undefined)))
    && (!w || c.input.toLowerCase().includes(w) || c.tool.toLowerCase().includes(w) || (c.output?.toLowerCase().includes(w) ?? false)));
}
