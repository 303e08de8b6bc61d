import { describe, expect, it } from "vitest";
import type { Node } from "../types";
import { marksOf, moved, parentOf, pathsOf, rowsOf, search, typed } from "./tree";

const file = (path: string): Node => ({ name: path.slice(path.lastIndexOf("/") + 1), path, type: "file", size: 1 });
const folder = (path: string, ...children: Node[]): Node => ({ name: path.slice(path.lastIndexOf("/") + 1), path, type: "directory", size: 0, children });
const root: Node = folder("", folder("docs", file("docs/guide.md")), folder("src", folder("src/deep", file("src/deep/main.go")), file("src/main.py")), file("Makefile"));
const shown = (...open: string[]) => rowsOf(root, new Set(open)).map((r) => r.node.path);

describe("the lines of a tree", () => {
  it("shows what is open, with level and place", () => {
    expect(shown()).toEqual(["docs", "src", "Makefile"]);
    expect(shown("src")).toEqual(["docs", "src", "src/deep", "src/main.py", "Makefile"]);
    expect(rowsOf(root, new Set(["src"]))[3]).toMatchObject({ level: 2, place: 2, siblings: 2, open: undefined });
  });
  it("finds by name, opens the way there, and by path when there is a slash", () => {
    const byName = search(root, "MAIN");
    expect(byName.hits).toBe(2);
    expect(rowsOf(root, new Set(), byName.shown).map((r) => r.node.path)).toEqual(["src", "src/deep", "src/deep/main.go", "src/main.py"]);
    expect(search(root, "deep/ma").hits).toBe(1);
    expect(search(root, "nothing").hits).toBe(0);
  });
  it("lists ten thousand entries in linear time", () => {
    const flat = folder("", ...Array.from({ length: 10_000 }, (_, i) => file(`file-${i}`)));
    const began = performance.now();
    expect(rowsOf(flat, new Set())).toHaveLength(10_000);
    expect(search(flat, "file-99").hits).toBe(111);
    expect(pathsOf(flat).size).toBe(10_000);
    expect(performance.now() - began).toBeLessThan(1_000);
  });
});

describe("keys in a tree", () => {
  const rows = rowsOf(root, new Set(["src", "src/deep"]));
  it.each([["ArrowDown", 0, 1], ["ArrowDown", 5, 5], ["ArrowUp", 0, 0], ["End", 0, 5], ["Home", 4, 0], ["PageDown", 1, 4], ["PageUp", 4, 1]])("%s from %d leads to %d", (key, from, to) => {
    expect(moved(key, rows, from, 3)).toBe(to);
  });
  it("moves nothing for another key, or without rows", () => { expect(moved("x", rows, 0, 3)).toBeUndefined(); expect(moved("End", [], 0, 3)).toBeUndefined(); });
  it("goes up to the folder", () => { expect([parentOf(rows, 3), parentOf(rows, 2), parentOf(rows, 0)]).toEqual([2, 1, 0]); });
  it("finds by typing, around the end", () => { expect(typed(rows, 1, "d")).toBe(2); expect(typed(rows, 3, "DO")).toBe(0); expect(typed(rows, 0, "zz")).toBeUndefined(); });
});

describe("marks of changes", () => {
  it("marks the file and every folder above it", () => {
    const marks = marksOf([{ path: "src/deep/main.go", status: "modified", size_bytes: 1, binary: false }, { path: "new", status: "added", size_bytes: 1, binary: false }]);
    expect([...marks]).toEqual([["src", "inside"], ["src/deep", "inside"], ["src/deep/main.go", "modified"], ["new", "added"]]);
  });
});
