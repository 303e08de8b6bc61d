import { describe, expect, it } from "vitest";
import type { AgentEvent } from "@/app/types";
import { told, type Line } from "./chat";

const time = "2026-01-01T00:00:00Z";
const all = (events: AgentEvent[]) => events.reduce<Line[]>(told, []);

describe("the test chat", () => {
  it("puts a result to its call", () => {
    expect(all([
      { type: "user", content: "ls", time },
      { type: "tool_use", id: "t1", tool: "Bash", input: "ls", arguments: {}, time },
      { type: "tool_result", id: "t1", tool: "Bash", output: "a.txt", is_error: false, time },
      { type: "text", content: "One file.", time },
    ])).toEqual([
      { who: "you", text: "ls" }, { who: "tool", id: "t1", tool: "Bash", input: "ls", output: "a.txt", failed: false }, { who: "agent", text: "One file." },
    ]);
  });
  it("shows what was denied, by whom and why", () => {
    expect(all([{ type: "verdict", by: "policy:tools", decision: "deny", gate: "tool.call", reason: "no sudo", time }])).toEqual([{ who: "note", text: "deny by policy:tools: no sudo", bad: true }]);
  });
  it("closes an approval that was answered", () => {
    expect(all([
      { type: "approval_required", ask: "a1", tool: "Bash", input: "git push", reason: "asks", arguments: {}, expires_at: time, time },
      { type: "approval_resolved", ask: "a1", by: "person", decision: "allow", time },
    ])).toMatchObject([{ who: "approval", decision: "allow" }]);
  });
  it("says nothing of a turn that went well, and of a preview", () => {
    const usage = { input_tokens: 0, output_tokens: 0, cache_creation_input_tokens: 0, cache_read_input_tokens: 0 };
    expect(all([{ type: "text_delta", content: "x", time }, { type: "complete", status: "completed", turns: 1, cost_usd: 0, usage, time }])).toEqual([]);
    expect(all([{ type: "complete", status: "max_turns", turns: 1, cost_usd: 0, usage, time }])).toMatchObject([{ bad: true }]);
  });
});
