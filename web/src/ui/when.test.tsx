import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, describe, expect, it } from "vitest";
import { useTimeTip } from "./when";

function Thing({ at }: { at?: number }) { return <p {...useTimeTip(at)}>thing</p>; }

describe("the tip with a time", () => {
  afterEach(cleanup);

  it("is written when somebody points at the element, not before", () => {
    render(<Thing at={Date.UTC(2026, 4, 17, 12)} />);
    const thing = screen.getByText("thing");
    expect(thing.title).toBe("");
    fireEvent.pointerEnter(thing);
    expect(thing.title).toContain("2026");
  });

  it("is none without a time", () => {
    render(<Thing />);
    fireEvent.pointerEnter(screen.getByText("thing"));
    expect(screen.getByText("thing").title).toBe("");
  });
});
