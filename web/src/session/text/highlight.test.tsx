import { cleanup, render as bare, waitFor } from "@testing-library/react";
import type { ReactElement } from "react";
import { afterEach, describe, expect, it } from "vitest";
import { TooltipProvider } from "@/ui/tooltip";
import { Code } from "./Code";
import { longest } from "./highlight";
import { highlight } from "./highlighter";
import { Markdown } from "./Markdown";

afterEach(cleanup);

const render = (it: ReactElement) => bare(it, { wrapper: TooltipProvider });
const run = (text: string, language: string, file = "") => highlight(text, language, file, new AbortController().signal);
const plain = (lines: Awaited<ReturnType<typeof run>>) => lines?.map((l) => l.map((t) => t.text).join("")).join("\n");
const classOf = (lines: Awaited<ReturnType<typeof run>>, text: string) => lines?.flat().find((t) => t.text === text)?.classes;

describe("the colours of a text", () => {
  it.each([
    ["python", "", "def f(x):\n    return 'é' # done\n", "def"], ["ts", "", "const a: string = `b`;", "const"], ["bash", "", "for i in 1 2; do echo $i; done", "for"],
    ["golang", "", "package main\n\nfunc main() {}\n", "func"], ["", "src/app.rs", "fn main() { let x = 1; }", "fn"], ["", "Dockerfile", "FROM debian\nRUN true\n", "FROM"],
  ])("knows %s%s and loses no character", async (language, file, text, keyword) => {
    const lines = await run(text, language, file);
    expect(plain(lines)).toBe(text);
    expect(classOf(lines, keyword)).toContain("text-accent-ink");
  });
  it.each([["text", ""], ["plaintext", ""], ["", "notes.txt"], ["no-such-language", ""]])("guesses nothing for %s%s", async (language, file) => {
    expect(await run("if x then y", language, file)).toBeUndefined();
  });
  it("gives up when there are too many, and when nobody waits any more", async () => {
    expect(await run("[1],".repeat(5_000), "json")).toBeUndefined();
    const over = new AbortController();
    over.abort();
    expect(await highlight("let a", "js", "", over.signal)).toBeUndefined();
  });
});

describe("code on the page", () => {
  const coloured = (container: HTMLElement) => container.querySelector("code.coloured .text-accent-ink");
  it("is there at once and coloured later, and at once when it is seen again", async () => {
    const { container, unmount } = render(<Code text={"def g():\n    pass"} language="python" />);
    expect(container.textContent).toBe("def g():\n    pass");
    expect(coloured(container)).toBeNull();
    await waitFor(() => { expect(coloured(container)?.textContent).toBe("def"); });
    expect(container.textContent).toBe("def g():\n    pass");
    unmount();
    expect(coloured(render(<Code text={"def g():\n    pass"} language="python" />).container)?.textContent).toBe("def");
  });
  it("stays plain while it is written and when it is huge", async () => {
    const text = "```python\ndef h():\n    pass\n```";
    const huge = render(<Code text={`x = 1 # ${"y".repeat(longest)}`} language="python" />);
    const { container, rerender } = render(<Markdown text={text} live />);
    const seen = render(<Code text="def after(): 1" language="python" />);
    await waitFor(() => { expect(coloured(seen.container)).not.toBeNull(); });
    expect(coloured(container)).toBeNull();
    expect(coloured(huge.container)).toBeNull();
    rerender(<Markdown text={text} />);
    await waitFor(() => { expect(coloured(container)?.textContent).toBe("def"); });
  });
});
