import { describe, expect, it } from "vitest";
import { countLines, diffLines, withContext } from "./diff";

const shape = (before: string, after: string) => diffLines(before, after).map((l) => ({ same: " ", added: "+", removed: "-" })[l.kind] + l.text);

describe("a line diff", () => {
  it.each<[string, string, string, string[]]>([
    ["a new file", "", "a\nb\n", ["+a", "+b"]],
    ["an emptied file", "a\nb", "", ["-a", "-b"]],
    ["nothing", "a\nb", "a\nb", [" a", " b"]],
    ["a changed line", "a\nb\nc", "a\nx\nc", [" a", "-b", "+x", " c"]],
    ["lines moved in", "a\nc", "a\nb\nc\nd", [" a", "+b", " c", "+d"]],
    ["repeated lines", "x\nx\ny", "x\ny", [" x", "-x", " y"]],
  ])("of %s", (_, before, after, want) => { expect(shape(before, after)).toEqual(want); });

  it("gives both texts back", () => {
    const before = "a\nb\nc\nd\ne";
    const after = "b\nx\nd\ne\nf";
    const lines = diffLines(before, after);
    expect(lines.filter((l) => l.kind !== "added").map((l) => l.text).join("\n")).toBe(before);
    expect(lines.filter((l) => l.kind !== "removed").map((l) => l.text).join("\n")).toBe(after);
    expect(lines.at(-1)).toMatchObject({ after: 5 });
  });

  it("is bounded for large texts", () => {
    const a = Array.from({ length: 3000 }, (_, i) => `a${i}`).join("\n");
    const b = Array.from({ length: 3000 }, (_, i) => `b${i}`).join("\n");
    expect(countLines(diffLines(a, b))).toEqual({ added: 3000, removed: 3000 });
  });

  it("leaves out what is far from a change", () => {
    const lines = Array.from({ length: 20 }, (_, i) => `l${i}`);
    const shown = withContext(diffLines(lines.join("\n"), lines.with(10, "x").join("\n")), 2);
    expect(shown.map((l) => l?.text ?? "…")).toEqual(["…", "l8", "l9", "l10", "x", "l11", "l12", "…"]);
  });
});
