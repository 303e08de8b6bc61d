import { describe, expect, it } from "vitest";
import { lineText, maxLines, noLines, reduce, structured } from "./lines";

const line = (text: string) => ({ time: null, stream: "stdout" as const, text });

describe("log lines", () => {
  it("are numbered on and bounded, the oldest go", () => {
    let s = reduce(noLines, { type: "lines", lines: Array.from({ length: maxLines }, (_, i) => line(`a${i}`)) });
    s = reduce(s, { type: "lines", lines: [line("b")] });
    expect(s.lines).toHaveLength(maxLines);
    expect([s.lines[0]?.text, s.lines.at(-1)?.text, s.lines.at(-1)?.n]).toEqual(["a1", "b", maxLines + 1]);
  });
  it("are cleared without losing their numbers, and begin anew when asked again", () => {
    const s = reduce(reduce(noLines, { type: "lines", lines: [line("a")] }), { type: "clear" });
    expect([s.lines.length, s.next]).toEqual([0, 2]);
    expect(reduce(s, { type: "again" })).toEqual({ ...noLines, round: 1 });
  });
  it("are read when they are structured, and left alone when not", () => {
    expect(structured('{"level":"warn","time":"x","msg":"slow","n":3,"who":"me"}')).toEqual({ level: "warn", message: "slow", rest: "n=3 who=me" });
    expect(structured('info\ta shell ended\t{"code": 0}')).toEqual({ level: "info", message: "a shell ended", rest: '{"code": 0}' });
    expect(structured("2026-11-24T23:40:00.1Z WARN slow")).toEqual({ level: "warn", message: "slow", rest: "" });
    expect(structured("{not json")).toBeUndefined();
    expect(structured('{"level":"warn"}')).toBeUndefined();
    expect(structured("plain")).toBeUndefined();
  });
  it("are copied with what is known of them", () => { expect(lineText({ time: "T", stream: "stderr", text: "x" })).toBe("T stderr x"); expect(lineText(line("x"))).toBe("x"); });
});
