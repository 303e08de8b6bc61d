import { renderHook } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { setKey } from "@/app/key";
import { SessionStore } from "./store";
import { followAhead, useFollow } from "./useSession";

describe("following a session", () => {
  const open = vi.spyOn(SessionStore.prototype, "open");
  const close = vi.spyOn(SessionStore.prototype, "close");
  let n = 0;
  let id = "";
  beforeEach(() => {
    vi.useFakeTimers();
    open.mockReset().mockReturnValue();
    close.mockReset().mockReturnValue();
    id = `conv-${n++}`;
    setKey("one", false);
  });
  afterEach(() => {
    vi.runAllTimers();
    vi.useRealTimers();
    setKey("", false);
  });

  it("begins ahead of its page, and the page goes on with it", () => {
    void followAhead(id);
    void followAhead(id);
    const page = renderHook(() => { useFollow(id); });
    vi.advanceTimersByTime(60_000);
    expect(open).toHaveBeenCalledTimes(1);
    expect(close).not.toHaveBeenCalled();
    page.unmount();
    vi.advanceTimersByTime(60_000);
    expect(close).toHaveBeenCalledTimes(1);
  });

  it("ends by itself when the page never comes, and does not begin without a key", () => {
    void followAhead(id);
    vi.advanceTimersByTime(60_000);
    expect(close).toHaveBeenCalledTimes(1);
    setKey("", false);
    void followAhead(id);
    expect(open).toHaveBeenCalledTimes(1);
  });

  it("holds its page back until the history is there, and not for long", async () => {
    const told = vi.spyOn(SessionStore.prototype, "told");
    let there: () => void = () => undefined;
    told.mockReturnValueOnce(new Promise<void>((go) => { there = go; })).mockReturnValueOnce(new Promise(() => undefined));
    const ended: string[] = [];
    void followAhead(id).then(() => ended.push("soon"));
    await vi.advanceTimersByTimeAsync(100);
    expect(ended).toEqual([]);
    there();
    await vi.advanceTimersByTimeAsync(0);
    expect(ended).toEqual(["soon"]);
    void followAhead(`${id}-late`).then(() => ended.push("late"));
    await vi.advanceTimersByTimeAsync(190);
    expect(ended).toEqual(["soon"]);
    await vi.advanceTimersByTimeAsync(20);
    expect(ended).toEqual(["soon", "late"]);
    told.mockRestore();
  });

  it("begins anew with another key than the one it began with", () => {
    void followAhead(id);
    setKey("two", false);
    renderHook(() => { useFollow(id); });
    expect(open).toHaveBeenCalledTimes(2);
  });
});
