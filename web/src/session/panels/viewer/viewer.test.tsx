import { cleanup, render } from "@testing-library/react";
import { afterEach, describe, expect, it, vi } from "vitest";
import { lineEnding } from "../code/ending";
import { keepDraft, draftOf } from "./drafts";
import { hexLines, viewsOf } from "./kind";
import Markdown, { resolveLink } from "./Markdown";
import { parseNotebook } from "./notebook";

afterEach(cleanup);

describe("how a file is shown", () => {
  const text = { type: "text" as const, media_type: "text/plain" };
  it.each([
    ["a.csv", text, ["table", "text"]], ["a.TSV", text, ["table", "text"]], ["n.ipynb", text, ["notebook", "text"]], ["n.ipynb", { ...text, truncated: true }, ["text"]],
    ["README.md", text, ["markdown", "text"]], ["pic.svg", text, ["svg", "text"]], ["evil.html", text, ["text"]], ["x", text, ["text"]],
    ["x", { type: "binary" as const, media_type: "application/pdf" }, ["pdf", "hex"]], ["x.csv", { type: "binary" as const, media_type: "application/zip" }, ["hex"]],
  ])("%s %j as %j", (name, preview, views) => { expect(viewsOf(name, preview)).toEqual(views); });
  it("dumps bytes", () => {
    expect(hexLines(new Uint8Array([0x41, 0, 0xff]))).toEqual([{ at: "00000000", hex: "41 00 ff".padEnd(48), text: "A··" }]);
    expect(hexLines(new Uint8Array(33))).toHaveLength(3);
  });
  it.each([["a\r\nb\r\n", "\r\n"], ["a\nb", "\n"], ["a\r\nb\n", "\n"], ["", "\n"]])("keeps the line ends of %j", (t, end) => { expect(lineEnding(t)).toBe(end); });
});

describe("markdown of a workspace", () => {
  const show = (text: string, onFile = vi.fn()) => ({ onFile, ...render(<Markdown text={text} path="docs/a.md" onFile={onFile} />) });
  it("makes no element of HTML, loads no picture and keeps no script link", () => {
    const { container } = show("<script>alert(1)</script>\n\n<img src=x onerror=alert(1)>\n\n![shot](https://elsewhere.example/x.png) [bad](javascript:alert(1))");
    expect(container.querySelector("script, img, iframe")).toBeNull();
    expect([...container.querySelectorAll("a")].map((a) => [a.getAttribute("href"), a.rel, a.target])).toEqual([["https://elsewhere.example/x.png", "noreferrer", "_blank"]]);
  });
  it("opens another file of the workspace", () => {
    const { getByRole, onFile } = show("[there](../src/x%20y.go#L3)");
    getByRole("button", { name: "there" }).click();
    expect(onFile).toHaveBeenCalledWith("src/x y.go");
  });
  it.each([["../../../etc/passwd", undefined], ["./b.md", "docs/b.md"], ["/top.md", "top.md"], ["https://x.example", undefined], ["//x.example/y", undefined], ["#part", undefined], ["%zz", undefined]])("%s leads to %s", (href, to) => {
    expect(resolveLink("docs/a.md", href)).toBe(to);
  });
});

describe("notebooks", () => {
  const book = (outputs: unknown[]) => parseNotebook(JSON.stringify({ cells: [{ cell_type: "code", execution_count: 3, source: ["a\n", "b"], outputs }], metadata: { kernelspec: { name: "julia" } } }));
  it("reads cells", () => { expect(book([])).toEqual({ language: "julia", cells: [{ kind: "code", source: "a\nb", count: 3, outputs: [] }] }); });
  it("shows HTML as text only, beside its plain form", () => {
    expect(book([{ output_type: "execute_result", data: { "text/html": "<script>x</script>", "text/plain": ["1"] } }]).cells[0]?.outputs)
      .toEqual([{ kind: "text", text: "1", error: false }, { kind: "html", text: "<script>x</script>" }]);
  });
  it("takes a picture only when it is base64, and the colours out of errors", () => {
    const [first, second, third] = book([
      { output_type: "display_data", data: { "image/png": "iVBO\nRw0=" } }, { output_type: "display_data", data: { "image/png": "x\"onload", "text/plain": "p" } },
      { output_type: "error", traceback: ["\u001b[0;31mBad\u001b[0m: it"] },
    ]).cells[0]?.outputs ?? [];
    expect(first).toEqual({ kind: "image", url: "data:image/png;base64,iVBORw0=" });
    expect(second).toEqual({ kind: "text", text: "p", error: false });
    expect(third).toEqual({ kind: "text", text: "Bad: it", error: true });
  });
  it.each(["{}", "[]", "null", '{"cells": 3}', "nonsense"])("refuses %s", (text) => { expect(() => parseNotebook(text)).toThrow(); });
});

describe("drafts", () => {
  it("ask before the page is left, as long as there is one", () => {
    const leaves = () => { const e = new Event("beforeunload", { cancelable: true }); window.dispatchEvent(e); return e.defaultPrevented; };
    expect(leaves()).toBe(false);
    keepDraft("s", "a", { text: "mine", base: "theirs", etag: "1" });
    expect(draftOf("s", "a")?.text).toBe("mine");
    expect(draftOf("t", "a")).toBeUndefined();
    expect(leaves()).toBe(true);
    keepDraft("s", "a", undefined);
    expect(leaves()).toBe(false);
  });
});
