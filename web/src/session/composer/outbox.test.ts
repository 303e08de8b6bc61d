import { beforeEach, describe, expect, it, vi } from "vitest";
import { Problem } from "@/api/problem";
import { Outbox } from "./outbox";

const idle = (turn = 1, lastComplete = "completed") => ({ running: false, turn, lastComplete });
const busy = (turn = 1) => ({ running: true, turn, lastComplete: "completed" });
const settled = async () => { await Promise.resolve(); await Promise.resolve(); };

describe("the outbox", () => {
  beforeEach(() => { sessionStorage.clear(); });
  const make = (deliver = vi.fn<(id: string, text: string) => Promise<void>>(() => Promise.resolve())) => ({ box: new Outbox("conv-1", deliver), deliver });

  it("sends at once when no turn runs, and shows it until its event is there", async () => {
    const { box, deliver } = make();
    box.write("hi");
    box.submit("hi", idle(3));
    await settled();
    expect(deliver.mock.calls).toEqual([["conv-1", "hi"]]);
    expect(box.get()).toMatchObject({ draft: "", sending: { text: "hi" } });
    box.pump(busy(4));
    expect(box.get().sending).toBeUndefined();
  });

  it("queues while a turn runs and sends one after the other", async () => {
    const { box, deliver } = make();
    box.submit("a", busy(1));
    box.submit("b", busy(1));
    box.pump(busy(1));
    expect(deliver).not.toHaveBeenCalled();
    box.pump(idle(1));
    box.pump(idle(1));
    await settled();
    expect(deliver.mock.calls.map((c) => c[1])).toEqual(["a"]);
    box.pump(busy(2));
    box.pump(idle(2));
    await settled();
    expect(deliver.mock.calls.map((c) => c[1])).toEqual(["a", "b"]);
  });

  it.each(["interrupted", "failed"])("holds the queue when the turn was %s", async (end) => {
    const { box, deliver } = make();
    box.submit("a", busy(1));
    box.pump(idle(1, end));
    expect(box.get().held).toBe("interrupted");
    box.submit("new", idle(1, end));
    await settled();
    expect(deliver.mock.calls.map((c) => c[1])).toEqual(["new"]);
    box.pump(busy(2));
    box.release(busy(2));
    box.pump(idle(2, end));
    await settled();
    expect(deliver.mock.calls.map((c) => c[1])).toEqual(["new", "a"]);
  });

  it("keeps what could not be sent and says why", async () => {
    const { box } = make(vi.fn(() => Promise.reject(new Problem(503, "no room"))));
    box.submit("a", idle());
    await settled();
    expect(box.get()).toMatchObject({ held: "failed", problem: "no room", sending: undefined });
    expect(box.get().queue.map((q) => q.text)).toEqual(["a"]);
  });

  it("waits when another tab was first", async () => {
    const deliver = vi.fn(() => Promise.resolve());
    deliver.mockRejectedValueOnce(new Problem(409, "a turn runs"));
    const { box } = make(deliver);
    box.submit("a", idle());
    await settled();
    box.pump(idle());
    expect(deliver).toHaveBeenCalledTimes(1);
    expect(box.get()).toMatchObject({ held: "" });
    expect(box.get().queue.map((q) => q.text)).toEqual(["a"]);
  });

  it("outlives a reload, but sends nothing by itself then", () => {
    const { box } = make();
    box.submit("a", busy());
    box.write("half a tho");
    const { box: next, deliver } = make();
    expect(next.get()).toMatchObject({ draft: "half a tho", held: "reloaded" });
    next.pump(idle());
    expect(deliver).not.toHaveBeenCalled();
    next.edit(next.get().queue[0]?.key ?? 0);
    expect(next.get()).toMatchObject({ draft: "a\nhalf a tho", queue: [], held: "" });
  });
});
