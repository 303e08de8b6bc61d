import { describe, expect, it } from "vitest";
import { argsOf, commandOutput, fileLines, inWorkspace, lineCount, linksOf, mcpOf, stripAnsi, text, toolError } from "./args";

describe("what a tool call says of itself", () => {
  it("tells a failed command's exit code from its output", () => {
    expect(commandOutput("Exit code 2\nno such file")).toEqual({ code: 2, text: "no such file" });
    expect(commandOutput("Error: Exit code 127\nx")).toEqual({ code: 127, text: "x" });
    expect(commandOutput("printed Exit code 2")).toEqual({ code: undefined, text: "printed Exit code 2" });
  });
  it("drops colours", () => { expect(stripAnsi("\u001b[1;31mred\u001b[0m \u001b[2K!")).toBe("red !"); });
  it.each<[string, string | undefined]>([["/workspace/a/b.txt", "a/b.txt"], ["./x", "x"], ["/etc/passwd", undefined], ["~/x", undefined], ["", undefined]])(
    "knows whether %j is in the workspace", (path, want) => { expect(inWorkspace(path)).toBe(want); },
  );
  it("takes MCP names apart", () => {
    expect(mcpOf("mcp__github__list_issues")).toEqual({ server: "github", name: "list_issues" });
    expect(mcpOf("mcp__a_b__c__d")).toEqual({ server: "a_b", name: "c__d" });
    expect(mcpOf("Bash")).toBeUndefined();
  });
  it("takes any input", () => {
    expect(argsOf({ arguments: null })).toEqual({});
    expect(argsOf({ arguments: [1] })).toEqual({});
    expect(text(argsOf({ arguments: { a: 1, b: {} } }), "a")).toBe("1");
    expect(text({ b: {} }, "b")).toBe("");
  });
  it("finds the links of a search", () => {
    expect(linksOf('Web search results for query: "x"\n\nLinks: [{"title":"T","url":"https://a.example/"},{"no":1}]\n\nmore')).toEqual([{ title: "T", url: "https://a.example/" }]);
    expect(linksOf("Links: [oops]")).toEqual([]);
    expect(linksOf("nothing")).toEqual([]);
  });
  it.each<[string, ReturnType<typeof fileLines>]>([
    ["     1→a\n     2→\n     3→\tb→c", { from: 1, text: "a\n\n\tb→c", rest: "" }],
    ["   499→x\n   500→y\n\n<system-reminder>\nbeware\n</system-reminder>\n", { from: 499, text: "x\ny", rest: "<system-reminder>\nbeware\n</system-reminder>" }],
    ["1\ta\n2\tb\n", { from: 1, text: "a\nb", rest: "" }],
    ["     1→a\n     7→b", { from: 1, text: "a", rest: "7→b" }],
    ["No such file", undefined], ["", undefined],
  ])("takes the numbers off what was read: %j", (output, want) => { expect(fileLines(output)).toEqual(want); });
  it("takes the tags off what the CLI refuses", () => {
    expect(toolError("<tool_use_error>Error: No such tool available: x</tool_use_error>")).toBe("No such tool available: x");
    expect(toolError("<tool_use_error>File does not exist.\nTry again</tool_use_error>\n")).toBe("File does not exist.\nTry again");
    expect(toolError("I print <tool_use_error>this</tool_use_error>")).toBeUndefined();
  });
  it("counts lines", () => { expect([lineCount(""), lineCount("a"), lineCount("a\n"), lineCount("a\nb")]).toEqual([0, 1, 1, 2]); });
});
