import { QueryClient } from "@tanstack/react-query";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { SessionStore } from "./store";
import type { Receiver } from "./stream";
import type { Event } from "./types";

const at = "2026-01-01T00:00:00Z";
const text = (id: number): Event => ({ type: "text", event_id: id, time: at, turn: 1, content: `t${id}` });
const result = (id: number): Event => ({ type: "tool_result", event_id: id, time: at, turn: 1, id: "x", tool: "Bash", output: "", is_error: false });
const use = (id: number): Event => ({ type: "tool_use", event_id: id, time: at, turn: 1, id: "x", tool: "Bash", input: "", arguments: {} });

/** A store whose connection is live and has not caught up. */
function connect() {
  const connections: Receiver[] = [];
  const queries = new QueryClient();
  const told = vi.spyOn(queries, "invalidateQueries").mockResolvedValue();
  const store = new SessionStore("conv-1", queries, (_id, to) => { connections.push(to); return () => undefined; });
  store.open();
  const to = () => { const it = connections.at(-1); if (!it) throw new Error("not connected"); return it; };
  to().last();
  to().connection({ state: "live" });
  return { store, to, connections, told };
}

/** One that has. */
function open() {
  const it = connect();
  it.to().caughtUp();
  return it;
}

describe("the store of a session", () => {
  beforeEach(() => { vi.useFakeTimers(); });
  afterEach(() => { vi.useRealTimers(); });

  it("shows the history at once when all of it is there", () => {
    const { store, to } = connect();
    let renders = 0;
    store.subscribe(() => { renders++; });
    for (let i = 1; i <= 50; i++) to().events([text(i)]);
    vi.advanceTimersByTime(100);
    expect(store.get()).toMatchObject({ opened: false, rows: [] });
    to().caughtUp();
    expect(store.get().rows).toHaveLength(50);
    expect(store.get().opened).toBe(true);
    expect(renders).toBe(1);
  });

  it("shows a history that takes long in parts", () => {
    const { store, to } = connect();
    to().events([text(1)]);
    vi.advanceTimersByTime(800);
    to().events([text(2)]);
    vi.advanceTimersByTime(20);
    expect(store.get()).toMatchObject({ opened: false, last: 2 });
    expect(store.get().rows).toHaveLength(2);
    to().events([text(3)]);
    to().caughtUp();
    expect(store.get()).toMatchObject({ opened: true, last: 3 });
  });

  it("shows what came with a new connection when that has caught up", () => {
    const { store, to } = open();
    to().events([text(1)]);
    vi.advanceTimersByTime(20);
    to().last();
    to().connection({ state: "live" });
    to().events([text(1), text(2)]);
    to().caughtUp();
    expect(store.get().rows).toHaveLength(2);
  });

  it("is not opened by a history with a gap", async () => {
    const { store, to } = connect();
    let told = false;
    void store.told().then(() => { told = true; });
    await Promise.resolve();
    expect(told).toBe(false);
    to().events([text(2)]);
    to().caughtUp();
    expect(store.get()).toMatchObject({ opened: false, last: 0, connection: { state: "reconnecting" } });
    await store.told(); // nobody waits for what does not come now
  });

  it("takes in what comes between two frames in one render", () => {
    const { store, to } = open();
    let renders = 0;
    store.subscribe(() => { renders++; });
    for (let i = 1; i <= 200; i++) to().events([text(i)]);
    vi.advanceTimersByTime(20);
    expect(store.get().rows).toHaveLength(200);
    expect(renders).toBe(1);
  });

  it("brings the next rows when the last ones are drawn, and waits for nobody who is gone", () => {
    const { store, to } = open();
    const leave = store.draws();
    const length = () => store.get().rows.length;
    to().events([text(1)]);
    vi.advanceTimersByTime(20);
    const first = store.get().rows;
    to().events([text(2)]);
    vi.advanceTimersByTime(500);
    expect(length()).toBe(1);
    store.drawn(first);
    vi.advanceTimersByTime(400);
    expect(length()).toBe(2);
    store.drawn(first); // an older one tells nothing of the newest
    to().events([text(3)]);
    vi.advanceTimersByTime(500);
    expect(length()).toBe(2);
    leave();
    vi.advanceTimersByTime(400);
    expect(length()).toBe(3);
  });

  it("begins again from the last event after a gap, but not in a hurry", () => {
    const { store, to, connections } = open();
    to().events([text(1), text(3)]);
    vi.advanceTimersByTime(20);
    expect(store.get()).toMatchObject({ last: 1, connection: { state: "reconnecting" } });
    expect(connections).toHaveLength(1);
    vi.advanceTimersByTime(1_000);
    expect(connections).toHaveLength(2);
    expect(to().last()).toBe(1);
    to().connection({ state: "live" });
    to().events([text(2), text(3)]);
    vi.advanceTimersByTime(20);
    expect(store.get().rows.map((r) => (r.kind === "text" ? r.content : ""))).toEqual(["t1", "t2", "t3"]);
  });

  it("tells the panels of changed files once in a while, not per tool", () => {
    const { to, told } = open();
    to().events([use(1)]);
    vi.advanceTimersByTime(1_000);
    expect(told).not.toHaveBeenCalled();
    to().events([result(2)]);
    vi.advanceTimersByTime(20);
    to().events([{ ...use(3), id: "y" } as Event, { ...result(4), id: "y" } as Event]);
    vi.advanceTimersByTime(400);
    expect(told).not.toHaveBeenCalled();
    vi.advanceTimersByTime(300);
    expect(told.mock.calls.filter(([filter]) => JSON.stringify(filter?.queryKey) === '["session","conv-1","files"]')).toHaveLength(1);
  });
});
