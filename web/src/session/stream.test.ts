import { afterEach, describe, expect, it, vi } from "vitest";
import { type Connection, follow } from "./stream";
import type { Event } from "./types";

interface Call { after: string | null; write: (text: string) => void; end: () => void }

/** A host whose answers the test writes; refuse is the status of the next ones, -1 means that it can't be reached. */
function host() {
  const calls: Call[] = [];
  const state = { refuse: 0 };
  vi.stubGlobal("fetch", (_path: string, init: RequestInit) => {
    if (state.refuse === -1) return Promise.reject(new TypeError("Failed to fetch"));
    if (state.refuse) return Promise.resolve(new Response(JSON.stringify({ detail: "no" }), { status: state.refuse }));
    const bytes = new TransformStream<Uint8Array, Uint8Array>();
    const writer = bytes.writable.getWriter();
    calls.push({
      after: new Headers(init.headers).get("Last-Event-ID"), write: (text) => { void writer.write(new TextEncoder().encode(text)); }, end: () => { void writer.close(); },
    });
    return Promise.resolve(new Response(bytes.readable));
  });
  return { calls, state };
}

function receiver() {
  const got: number[] = [];
  const states: Connection[] = [];
  const caught: number[] = [];
  return {
    got, states,
    caught,
    to: { last: () => got.at(-1) ?? 0, events: (batch: Event[]) => { got.push(...batch.map((e) => e.event_id ?? 0)); }, caughtUp: () => { caught.push(got.at(-1) ?? 0); }, connection: (c: Connection) => { states.push(c); } },
  };
}

const event = (id: number) => `id: ${id}\ndata: {"type":"status","time":"","event_id":${id},"status":"running"}\n\n`;

describe("following a session", () => {
  afterEach(() => { vi.unstubAllGlobals(); });

  it("goes on from the last event when the connection is lost, and ends with the session", async () => {
    const { calls } = host();
    const { got, states, caught, to } = receiver();
    const stop = follow("conv-1", to);
    await vi.waitFor(() => { expect(calls).toHaveLength(1); });
    expect(calls[0]?.after).toBeNull();
    calls[0]?.write(`id: 0\n\n: heartbeat\n\n${event(1)}${event(2).slice(0, 20)}`);
    await vi.waitFor(() => { expect(got).toEqual([1]); });
    calls[0]?.write(event(2).slice(20));
    await vi.waitFor(() => { expect(got).toEqual([1, 2]); });
    calls[0]?.end();
    await vi.waitFor(() => { expect(states.at(-1)).toMatchObject({ state: "reconnecting", away: false }); });
    await vi.waitFor(() => { expect(calls).toHaveLength(2); }, { timeout: 5_000 });
    expect(calls[1]?.after).toBe("2");
    calls[1]?.write(`${event(3)}: caught up\n\n${event(4)}data: [DONE]\n\n`);
    await vi.waitFor(() => { expect(states.at(-1)).toEqual({ state: "ended" }); });
    expect(got).toEqual([1, 2, 3, 4]);
    expect(caught).toEqual([3]);
    expect(states.map((s) => s.state)).toEqual(["live", "reconnecting", "live", "ended"]);
    stop();
  });

  it("says that the host is away, and tries at once when the browser comes online", async () => {
    const { calls, state } = host();
    const { states, to } = receiver();
    state.refuse = -1;
    const stop = follow("conv-1", to);
    await vi.waitFor(() => { expect(states.at(-1)).toMatchObject({ state: "reconnecting", away: true }); });
    state.refuse = 0;
    window.dispatchEvent(new window.Event("online"));
    await vi.waitFor(() => { expect(calls).toHaveLength(1); }, { timeout: 5_000 });
    await vi.waitFor(() => { expect(states.at(-1)).toEqual({ state: "live" }); });
    stop();
  });

  it.each([401, 403, 404])("does not insist when the host refuses with %d", async (status) => {
    const { state } = host();
    const { states, to } = receiver();
    state.refuse = status;
    follow("conv-1", to);
    await vi.waitFor(() => { expect(states.at(-1)).toMatchObject({ state: "refused", problem: { status } }); });
    expect(states).toHaveLength(1);
  });
});
