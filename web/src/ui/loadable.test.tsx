import { render, screen, waitFor } from "@testing-library/react";
import { Suspense } from "react";
import { describe, expect, it, vi } from "vitest";
import { loadable } from "./loadable";

describe("a loadable component", () => {
  const code = { default: ({ name }: { name: string }) => <p>hello {name}</p> };

  it("shows the fallback until its code is there", async () => {
    const Hello = loadable(() => Promise.resolve(code));
    render(<Suspense fallback={<p>wait</p>}><Hello name="a" /></Suspense>);
    expect(screen.getByText("wait")).toBeTruthy();
    await waitFor(() => { expect(screen.getByText("hello a")).toBeTruthy(); });
  });

  it("is there at once when its code was fetched ahead, and is fetched once", async () => {
    const load = vi.fn(() => Promise.resolve(code));
    const Hello = loadable(load);
    Hello.preload();
    await load.mock.results[0]?.value;
    await Promise.resolve();
    Hello.preload();
    render(<Suspense fallback={<p>wait</p>}><Hello name="b" /></Suspense>);
    expect(screen.getByText("hello b")).toBeTruthy();
    expect(load).toHaveBeenCalledTimes(1);
  });

  it("asks again after a failure", async () => {
    const load = vi.fn<() => Promise<typeof code>>().mockRejectedValueOnce(new Error("gone")).mockResolvedValue(code);
    const Hello = loadable(load);
    Hello.preload();
    await Promise.allSettled([load.mock.results[0]?.value]);
    render(<Suspense fallback={<p>wait</p>}><Hello name="c" /></Suspense>);
    await waitFor(() => { expect(screen.getByText("hello c")).toBeTruthy(); });
  });
});
