import { describe, expect, it } from "vitest";
import type { ToolCall } from "../conversation/model";
import { filterCalls, nest } from "./filterCalls";

const call = (id: string, began: number, parent = "", more: Partial<ToolCall> = {}): ToolCall =>
  ({ id, tool: "Bash", input: id, arguments: {}, parent, turn: 1, began, failed: false, cutOff: false, verdicts: [], children: [], ...more });
const calls = [call("a", 1), call("task", 2, "", { tool: "Agent" }), call("s1", 3, "task", { tool: "Read" }), call("s2", 4, "task"), call("deep", 5, "s2", { failed: true }), call("b", 6), call("lost", 7, "gone")];
const shape = (found: readonly ToolCall[]) => nest(found, calls).map((n) => `${"  ".repeat(n.depth)}${n.call.id}${n.context ? "*" : ""}`);

describe("the timeline of tool calls", () => {
  it("has the newest first and a sub-agent's calls below the one that started it", () => {
    expect(shape(calls)).toEqual(["lost", "b", "task", "  s2", "    deep", "  s1", "a"]);
  });
  it("keeps what a found call lies within", () => {
    expect(shape(filterCalls(calls, { tool: "", state: "failed", word: "" }))).toEqual(["task*", "  s2*", "    deep"]);
    expect(shape(filterCalls(calls, { tool: "Task", state: "all", word: "" }))).toEqual(["task"]);
    expect(shape([])).toEqual([]);
  });
});
