import { describe, expect, it } from "vitest";
import { numbered } from "./attach";
import { commandChoices, fileChoices, mention, pathsOf, wantedAt } from "./complete";

describe("completion", () => {
  it.each<[string, number, unknown]>([
    ["/co", 3, { kind: "command", word: "co", from: 0, to: 3 }],
    ["say /co", 7, undefined],
    ["/compact now", 12, undefined],
    ["see @src/a", 10, { kind: "file", word: "src/a", from: 4, to: 10 }],
    ["@", 1, { kind: "file", word: "", from: 0, to: 1 }],
    ["mail a@b", 8, undefined],
    ["@a b", 2, { kind: "file", word: "a", from: 0, to: 2 }],
  ])("of %j at %d", (text, caret, want) => { expect(wantedAt(text, caret)).toEqual(want); });

  it("puts what begins so first", () => {
    const commands = ["recompact", "compact", "cost"].map((name) => ({ name, description: "", argument_hint: "" }));
    expect(commandChoices(commands, "comp").map((c) => c.label)).toEqual(["/compact", "/recompact"]);
    expect(fileChoices(["docs/main/x", "src/main.go", "main"], "main").map((c) => c.label)).toEqual(["main", "src/main.go", "docs/main/x"]);
  });

  it("names files so that the agent finds them", () => {
    expect([mention("a/b.c"), mention("my notes.txt")]).toEqual(["@a/b.c ", '@"my notes.txt" ']);
    expect([numbered("image.png", 1), numbered("image.png", 2), numbered("Makefile", 3), numbered(".env", 2), numbered("a.tar.gz", 2)]).toEqual(["image.png", "image-2.png", "Makefile-3", ".env-2", "a.tar-2.gz"]);
  });
  it("lists a tree", () => {
    const file = (path: string) => ({ name: path.split("/").at(-1) ?? "", type: "file", path, size: 1 });
    const folder = (path: string, children: { name: string; type: string; path: string; size: number }[]) => ({ ...file(path), type: "directory", children });
    expect(pathsOf(folder("", [folder("a", [file("a/b.c")]), file("Makefile")]))).toEqual(["a/", "a/b.c", "Makefile"]);
  });
});
