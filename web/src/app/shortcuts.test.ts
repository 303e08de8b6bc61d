import { describe, expect, it } from "vitest";
import { reader } from "./shortcuts";

const press = (key: string, more: Partial<{ ctrlKey: boolean; metaKey: boolean; altKey: boolean; target: EventTarget | null }> = {}) =>
  ({ key, ctrlKey: false, metaKey: false, altKey: false, target: document.body, ...more });

describe("shortcuts", () => {
  it("opens the palette, also from an input", () => {
    const read = reader();
    expect(read(press("k", { ctrlKey: true }), 0)).toBe("palette");
    expect(read(press("K", { metaKey: true, target: document.createElement("input") }), 0)).toBe("palette");
  });
  it("goes by two keys, if they come soon after each other", () => {
    const read = reader();
    expect(read(press("g"), 0)).toBeUndefined();
    expect(read(press("s"), 500)).toBe("sessions");
    read(press("g"), 1000);
    expect(read(press("s"), 3000)).toBeUndefined();
    expect(read(press("s"), 3001)).toBeUndefined();
  });
  it("is broken off by a key that means nothing", () => {
    const read = reader();
    read(press("g"), 0);
    read(press("x"), 1);
    expect(read(press("s"), 2)).toBeUndefined();
  });
  it("takes no letter from what is being written", () => {
    const read = reader();
    const target = document.createElement("textarea");
    expect(read(press("?", { target }), 0)).toBeUndefined();
    read(press("g", { target }), 0);
    expect(read(press("s", { target: document.body }), 1)).toBeUndefined();
  });
});
