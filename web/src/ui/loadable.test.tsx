import { render, screen, waitFor } from "@testing-library/react";
import { Component, type ReactNode } from "react";
import { describe, expect, it, vi } from "vitest";
import { loadable } from "./loadable";

describe("a loadable component", () => {
  const code = { default: ({ name }: { name: string }) => <p>hello {name}</p> };
  const Waiting = () => <p>wait</p>;

  it("shows the fallback until its code is there", async () => {
    const Hello = loadable(() => Promise.resolve(code), Waiting);
    render(<Hello name="a" />);
    expect(screen.getByText("wait")).toBeTruthy();
    await waitFor(() => { expect(screen.getByText("hello a")).toBeTruthy(); });
  });

  it("is there at once when its code was fetched ahead, and is fetched once", async () => {
    const load = vi.fn(() => Promise.resolve(code));
    const Hello = loadable(load, Waiting);
    await Hello.preload();
    await Hello.preload();
    render(<Hello name="b" />);
    expect(screen.getByText("hello b")).toBeTruthy();
    expect(load).toHaveBeenCalledTimes(1);
  });

  it("asks again after a failure", async () => {
    const load = vi.fn<() => Promise<typeof code>>().mockRejectedValueOnce(new Error("gone")).mockResolvedValue(code);
    const Hello = loadable(load, Waiting);
    await Hello.preload();
    render(<Hello name="c" />);
    await waitFor(() => { expect(screen.getByText("hello c")).toBeTruthy(); });
  });

  it("gives a failure to the next error boundary", async () => {
    class Boundary extends Component<{ children: ReactNode }, { said: string }> {
      override state = { said: "" };
      static getDerivedStateFromError(error: Error) { return { said: error.message }; }
      override render() { return this.state.said ? <p>failed: {this.state.said}</p> : this.props.children; }
    }
    const quiet = vi.spyOn(console, "error").mockReturnValue(undefined);
    const Hello = loadable<{ name: string }>(() => Promise.reject(new Error("gone")), Waiting);
    render(<Boundary><Hello name="d" /></Boundary>);
    await waitFor(() => { expect(screen.getByText("failed: gone")).toBeTruthy(); });
    quiet.mockRestore();
  });
});
