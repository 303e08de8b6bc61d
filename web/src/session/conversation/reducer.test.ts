import { describe, expect, it } from "vitest";
import recorded from "../testdata/every-card.jsonl?raw";
import type { Event } from "../types";
import { SseParser } from "../sse";
import type { Conversation } from "./model";
import { GapError, Reducer } from "./reducer";

const log = recorded.trim().split("\n").map((line) => JSON.parse(line) as Event);
const whole = new Reducer().push(log);

/** A small generator of numbers in [0, n), the same for the same seed. */
function dice(seed: number) {
  let x = seed;
  return (n: number) => { x = (Math.imul(x, 1_664_525) + 1_013_904_223) >>> 0; return Math.floor((x / 2 ** 32) * n); };
}

/** The stream as the host writes it from one event on, with previews before each text of the main agent. */
function wire(after: number): string {
  let out = `id: ${after}\n\n: heartbeat\n\n`;
  for (const e of log.slice(after)) {
    if (e.type === "text" && !e.parent) {
      for (const piece of e.content.match(/[\s\S]{1,9}/g) ?? []) out += `data: ${JSON.stringify({ type: "text_delta", time: e.time, turn: e.turn, content: piece })}\n\n`;
    }
    out += `id: ${e.event_id ?? 0}\ndata: ${JSON.stringify(e)}\n\n`;
  }
  return out;
}

function batchOf(parser: SseParser, piece: string): Event[] {
  return parser.feed(piece).flatMap(({ data }) => (data ? [JSON.parse(data) as Event] : []));
}

describe("the reducer", () => {
  it("makes a conversation of a recorded log", () => {
    expect(whole.rows.map((r) => r.kind).filter((k) => k !== "tool")).toEqual(["user", "thinking", "text", "text", "complete"]);
    expect(whole).toMatchObject({ turn: 1, running: false, lastComplete: "completed", last: log.length, status: "running", approvals: [] });
    expect(whole.todos.map((t) => t.status)).toEqual(["completed", "completed", "in_progress"]);
    const task = whole.calls.find((c) => c.tool === "Task");
    expect(task?.children.map((r) => r.kind)).toEqual(["tool", "text"]);
    expect(whole.calls.find((c) => c.input === "sudo reboot")?.verdicts).toMatchObject([{ decision: "deny", by: "policy:tools" }]);
    expect(whole.calls.every((c) => c.ended !== undefined && c.ended >= c.began)).toBe(true);
    expect(whole.cost).toBeGreaterThan(0);
  });

  it.each(Array.from({ length: 25 }, (_, i) => i + 1))("gives the same however the stream is cut and broken off (seed %d)", (seed) => {
    const roll = dice(seed);
    const reducer = new Reducer();
    let parser = new SseParser();
    let rest = wire(0);
    for (let breaks = 0; rest;) {
      const piece = rest.slice(0, 1 + roll(900));
      rest = rest.slice(piece.length);
      reducer.push(batchOf(parser, piece));
      if (breaks < 6 && roll(12) === 0) {
        breaks++;
        // Sometimes the host sends again what was seen: an older number must be harmless.
        reducer.reconnected();
        parser = new SseParser();
        rest = wire(Math.max(0, reducer.state.last - roll(3)));
        if (roll(2)) reducer.caughtUp();
      }
    }
    expect(reducer.state).toEqual(whole);
  });

  it("never changes a value that it gave", () => {
    const reducer = new Reducer();
    const seen: { state: Conversation; copy: string }[] = [];
    for (const e of log) {
      const state = reducer.push([e]);
      seen.push({ state, copy: JSON.stringify(state) });
    }
    for (const { state, copy } of seen) expect(JSON.stringify(state)).toBe(copy);
  });

  it("shares what did not change", () => {
    const reducer = new Reducer();
    const before = reducer.push(log.slice(0, 20));
    const after = reducer.push(log.slice(20, 21));
    expect(after.rows[0]).toBe(before.rows[0]);
    expect(after.todos).toBe(before.todos);
  });

  it("refuses a gap, with what came before it taken in", () => {
    const reducer = new Reducer();
    expect(() => reducer.push([...log.slice(0, 4), ...log.slice(6)])).toThrow(GapError);
    expect(reducer.state.last).toBe(4);
    expect(reducer.push(log.slice(4))).toEqual(whole);
  });

  const at = "2026-01-01T00:00:00Z";
  const asked: Event[] = [
    { type: "user", event_id: 1, time: at, turn: 1, content: "go" },
    { type: "verdict", event_id: 2, time: at, turn: 1, gate: "tool.call", decision: "ask", by: "policy:tools", reason: "rule", tool: "Bash", tool_use_id: "t1" },
    { type: "approval_required", event_id: 3, time: at, turn: 1, ask: "a1", tool_use_id: "t1", tool: "Bash", input: "ls", arguments: { command: "ls" }, reason: "rule", expires_at: "2026-01-01T00:05:00Z" },
    { type: "tool_use", event_id: 4, time: at, turn: 1, id: "t1", tool: "Bash", input: "ls", arguments: { command: "ls" } },
  ];

  it("ties verdicts and approvals to a call that comes after them", () => {
    const reducer = new Reducer();
    const state = reducer.push(asked);
    expect(state.approvals.map((a) => a.ask)).toEqual(["a1"]);
    expect(reducer.call("t1")).toMatchObject({ verdicts: [{ decision: "ask" }], approval: { ask: "a1" } });
    const after = reducer.push([{ type: "approval_resolved", event_id: 5, time: at, turn: 1, ask: "a1", decision: "deny", by: "person", reason: "no" }]);
    expect(after.approvals).toEqual([]);
    expect(reducer.call("t1")?.approval).toMatchObject({ decision: "deny", by: "person", why: "no" });
  });

  it("cuts off what runs when the turn ends", () => {
    const reducer = new Reducer();
    const usage = { input_tokens: 1, output_tokens: 2, cache_read_input_tokens: 0, cache_creation_input_tokens: 0 };
    const state = reducer.push([...asked, { type: "complete", event_id: 5, time: "2026-01-01T00:00:09Z", turn: 1, status: "interrupted", usage, cost_usd: 0, turns: 1 }]);
    expect(state).toMatchObject({ running: false, approvals: [], lastComplete: "interrupted" });
    expect(reducer.call("t1")).toMatchObject({ cutOff: true });
    expect(state.rows.at(-1)).toMatchObject({ kind: "complete", took: 9000 });
  });

  it("says when a preview begins in the middle", () => {
    const delta: Event = { type: "text_delta", time: at, turn: 1, content: "half" };
    const late = new Reducer();
    late.reconnected();
    late.push([...asked.slice(0, 1)]);
    late.caughtUp();
    expect(late.push([delta]).rows.at(-1)).toMatchObject({ live: true, cut: true });
    const early = new Reducer();
    early.reconnected();
    early.caughtUp();
    early.push([...asked.slice(0, 1)]);
    const streaming = early.push([delta, delta]);
    expect(streaming.rows.at(-1)).toMatchObject({ live: true, cut: false, content: "halfhalf" });
    const done = early.push([{ type: "text", event_id: 2, time: at, turn: 1, content: "halfhalf." }]);
    expect(done.rows).toHaveLength(2);
    expect(done.rows.at(-1)).toMatchObject({ live: false, content: "halfhalf.", key: streaming.rows.at(-1)?.key });
  });

  it("takes in a long session in one batch", () => {
    const reducer = new Reducer();
    const many: Event[] = [{ type: "user", event_id: 1, time: at, turn: 1, content: "go" }];
    for (let i = 1; i <= 5_000; i++) {
      many.push({ type: "tool_use", event_id: 2 * i, time: at, turn: 1, id: `t${i}`, tool: "Bash", input: "ls", arguments: {} });
      many.push({ type: "tool_result", event_id: 2 * i + 1, time: at, turn: 1, id: `t${i}`, tool: "Bash", output: "", is_error: false });
    }
    const state = reducer.push(many);
    expect(state.calls).toHaveLength(5_000);
    expect(reducer.call("t5000")?.ended).toBeDefined();
  });
});
