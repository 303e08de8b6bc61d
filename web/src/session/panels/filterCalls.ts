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

/** A call in the timeline; depth is how many sub-agents it lies within. context: it did not pass the filter, but one of its sub-agent's calls did. */
export interface Nested { call: ToolCall; depth: number; context: boolean }

/** The calls that were found, the newest first, those of a sub-agent below the call that started it. */
export function nest(found: readonly ToolCall[], calls: readonly ToolCall[]): Nested[] {
  const all = new Map(calls.map((c) => [c.id, c]));
  const passed = new Set(found);
  const below = new Map<string, ToolCall[]>();
  const seen = new Set<ToolCall>();
  const place = (call: ToolCall) => {
    if (seen.has(call)) return;
    seen.add(call);
    const parent = all.get(call.parent);
    const key = parent?.id ?? "";
    const list = below.get(key);
    if (list) list.push(call);
    else below.set(key, [call]);
    if (parent) place(parent);
  };
  found.forEach(place);
  const out: Nested[] = [];
  const list = (key: string, depth: number) => {
    for (const call of (below.get(key) ?? []).reverse().sort((a, b) => b.began - a.began)) {
      out.push({ call, depth, context: !passed.has(call) });
      list(call.id, depth + 1);
    }
  };
  list("", 0);
  return out;
}
