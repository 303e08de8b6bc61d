import { describe, expect, it } from "vitest";
import type { Session } from "@/app/types";
import { counts, idleLeft, shownOf, stateOf, titleOf } from "./list";
import { newsOf } from "./news";
import { readSessionsSearch } from "./search";

const session = (id: string, more: Partial<Session> = {}): Session => ({
  session_id: id, agent_id: `agent-${id}`, config_id: "code-assistant", name: "Code Assistant", status: "running", activity: "idle", provider: "local",
  created_at: "2026-01-01T00:00:00Z", last_active: "2026-01-01T00:00:00Z", turn: 1, turns: 1, turn_running: false, waiting: 0, cost_usd: 0,
  usage: { input_tokens: 0, output_tokens: 0, cache_creation_input_tokens: 0, cache_read_input_tokens: 0 }, ...more,
});
const ids = (list: Session[]) => list.map((s) => s.session_id);

describe("the list of sessions", () => {
  const all = [
    session("a", { title: "Fix the parser", last_active: "2026-01-01T00:03:00Z", cost_usd: 0.5 }),
    session("b", { activity: "waiting", last_active: "2026-01-01T00:01:00Z", last_line: "May I push?" }),
    session("c", { status: "asleep", config_id: "research-agent", name: "Research Agent", last_active: "2026-01-01T00:02:00Z", cost_usd: 2 }),
  ];

  it("has the most recently active first", () => { expect(ids(shownOf(all, {}))).toEqual(["a", "c", "b"]); });
  it("turns the order round", () => { expect(ids(shownOf(all, { up: true }))).toEqual(["b", "c", "a"]); });
  it("puts what needs a person first by status", () => { expect(ids(shownOf(all, { sort: "status" }))).toEqual(["b", "a", "c"]); });
  it("sorts by cost and by title", () => {
    expect(ids(shownOf(all, { sort: "cost" }))).toEqual(["c", "a", "b"]);
    expect(ids(shownOf(all, { sort: "title" }))).toEqual(["b", "a", "c"]);
  });
  it("finds words anywhere, all of them", () => {
    expect(ids(shownOf(all, { q: "PUSH may" }))).toEqual(["b"]);
    expect(ids(shownOf(all, { q: "parser push" }))).toEqual([]);
  });
  it("filters by state and configuration", () => {
    expect(ids(shownOf(all, { status: "asleep" }))).toEqual(["c"]);
    expect(ids(shownOf(all, { config: "code-assistant" }))).toEqual(["a", "b"]);
  });
  it("counts what each filter would show", () => { expect(counts(all, { config: "code-assistant" })).toEqual({ waiting: 1, working: 0, idle: 1, asleep: 0, failed: 0 }); });
  it("takes an open approval for waiting, whatever the activity says", () => { expect(stateOf(session("d", { activity: "working", waiting: 1 }))).toBe("waiting"); });
  it("calls a session without a message by its configuration", () => { expect(titleOf(session("d", { title: " " }))).toBe("Code Assistant"); });
  it("counts down only while a session is idle", () => {
    const at = "2026-01-01T00:10:00Z";
    expect(idleLeft(session("d", { idle_expires_at: at }), Date.parse("2026-01-01T00:09:00Z"))).toBe(60_000);
    expect(idleLeft(session("d", { idle_expires_at: at }), Date.parse("2026-01-01T00:11:00Z"))).toBe(0);
    expect(idleLeft(session("d", { idle_expires_at: at, activity: "working" }), 0)).toBeUndefined();
    expect(idleLeft(session("d"), 0)).toBeUndefined();
  });
});

describe("news", () => {
  const told = (before: Partial<Session>, now: Partial<Session>) => newsOf([session("a", before)], [session("a", { title: "Fix it", ...now })]).map((n) => `${n.id} ${n.title}: ${n.text}`);
  it("is an approval that is asked for", () => { expect(told({ turn_running: true }, { turn_running: true, waiting: 1 })).toEqual(["a Fix it: Waits for your approval."]); });
  it("is the end of a turn, with what was said last", () => { expect(told({ turn_running: true }, { last_line: "Done." })).toEqual(["a Fix it: The turn ended: Done."]); });
  it("is a turn that was over before anybody looked", () => { expect(told({ turn: 1 }, { turn: 2 })).toEqual(["a Fix it: The turn ended."]); });
  it("is not what stays, what was answered, or a session that is new", () => {
    expect(told({ waiting: 1 }, { waiting: 1 })).toEqual([]);
    expect(told({ waiting: 1, turn_running: true }, { waiting: 0, turn_running: true })).toEqual([]);
    expect(newsOf([], [session("a", { waiting: 1 })])).toEqual([]);
  });
});

describe("the address", () => {
  it("keeps what it knows and drops the rest", () => {
    expect(readSessionsSearch({ q: "x", status: "idle", config: "c", sort: "cost", up: true, more: 1 })).toEqual({ q: "x", status: "idle", config: "c", sort: "cost", up: true });
    expect(readSessionsSearch({ q: "", status: "dead", sort: 3, up: "yes" })).toEqual({});
    expect(readSessionsSearch({ q: 42 })).toEqual({ q: "42" });
  });
});
