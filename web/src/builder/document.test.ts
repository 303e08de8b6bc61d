import { parse } from "yaml";
import { describe, expect, it } from "vitest";
import { edit, isRecord, locate, read, rename, write } from "./document";
import { readPath, written, type Path } from "./path";
import { viewOf } from "./view";

const presets = Object.entries(import.meta.glob<string>("../../../presets/*.yaml", { query: "?raw", import: "default", eager: true }))
  .map(([path, text]) => [path.replace(/^.*\//, ""), text] as const);

/** Every place of a value, the inner ones too. */
function places(value: unknown, at: Path = []): Path[] {
  const inner = Array.isArray(value) ? value.map((v, i) => [i, v] as const) : isRecord(value) ? Object.entries(value) : [];
  return [...(at.length > 0 ? [at] : []), ...inner.flatMap(([k, v]) => places(v, [...at, k]))];
}
const at = (value: unknown, path: Path): unknown => path.reduce<unknown>((v, p) => (v as Record<string | number, unknown>)[p], value);
const comments = (text: string) => text.split("\n").filter((line) => line.trim().startsWith("#")).map((line) => line.trim());

describe("the presets", () => {
  it("are there", () => { expect(presets.length).toBeGreaterThanOrEqual(4); });

  it.each(presets)("%s: writing every value back changes nothing but layout", (_, text) => {
    let now = text;
    for (const path of places(parse(text))) now = edit(now, path, at(parse(text), path));
    expect(parse(now)).toEqual(parse(text));
    expect(comments(now)).toEqual(comments(text));
    expect(now.length).toBeLessThan(text.length * 1.05);
  });

  it.each(presets)("%s: as JSON and back is equal in meaning", (_, text) => {
    const { value } = read(text);
    expect(value).toEqual(parse(text));
    expect(parse(write(value as never))).toEqual(parse(text));
  });

  it.each(presets)("%s: the form sees what the text says", (_, text) => {
    const value = parse(text) as Record<string, unknown>;
    const view = viewOf(value);
    expect(view.tools).toEqual(value.allowed_tools);
    expect(view.maxTurns).toBe(value.max_turns);
    expect(Object.fromEntries(view.agents)).toEqual(value.agents ?? {});
    expect(view.policies.map((p) => p.name)).toEqual(["tools", "path", "archive"]);
    expect(view.prompt.kind).toBe(typeof value.system_prompt === "string" ? "text" : "preset");
  });

  it.each(presets)("%s: an edit changes one thing", (_, text) => {
    const now = edit(text, ["resource_limits", "memory_limit"], "8g");
    expect(parse(now)).toEqual({ ...(parse(text) as object), resource_limits: { ...(parse(text) as { resource_limits: object }).resource_limits, memory_limit: "8g" } });
    expect(comments(now)).toEqual(comments(text));
  });
});

describe("an edit", () => {
  const text = "# mine\nid: a # short\ntools: [x, y] # both\nagents:\n  rev: {prompt: hi, model: haiku} # the reviewer\n\n# the end\n";

  it("makes what is not there, maps around it included", () => { expect(parse(edit(text, ["network", "egress"], "none"))).toMatchObject({ network: { egress: "none" }, id: "a" }); });
  it("removes a value and the maps that are empty then", () => {
    expect(edit(edit(text, ["agents", "rev", "model"], undefined), ["agents", "rev", "prompt"], undefined)).not.toContain("agents");
  });
  it("keeps an empty list that it was given", () => { expect(parse(edit(text, ["tools"], []))).toMatchObject({ tools: [] }); });
  it("keeps flow style and comments of a list", () => { expect(edit(text, ["tools"], ["y", "z"])).toContain("tools: [y, z] # both"); });
  it("writes a text on several lines as a block", () => { expect(edit(text, ["prompt"], "one\ntwo\n")).toContain("prompt: |\n  one\n  two\n"); });
  it("takes a long text as it is, without folding", () => { expect(edit(text, ["prompt"], "word ".repeat(60).trim()).split("\n").find((l) => l.startsWith("prompt:"))?.length).toBeGreaterThan(290); });
  it("quotes what would be read as something else", () => { expect(parse(edit(text, ["version"], "1.0"))).toMatchObject({ version: "1.0" }); });
  it("leaves a text that can't be read as it is", () => { expect(edit("a: [", ["b"], 1)).toBe("a: ["); });
  it("begins an empty text", () => { expect(parse(edit("", ["id"], "a"))).toEqual({ id: "a" }); });
  it("replaces a scalar where a map has to be", () => { expect(parse(edit("network: open\n", ["network", "egress"], "none"))).toEqual({ network: { egress: "none" } }); });
  it("replaces a map where a text has to be", () => { expect(parse(edit("system_prompt: {type: preset, preset: claude_code}\n", ["system_prompt"], "hi"))).toEqual({ system_prompt: "hi" }); });
  it("renames a key where it stands, unless the name is taken", () => {
    expect(rename(text, ["agents", "rev"], "critic")).toContain("  critic: {prompt: hi, model: haiku} # the reviewer");
    expect(rename(text, ["id"], "tools")).toBe(text);
  });
});

describe("reading", () => {
  it("says where a text is wrong", () => { expect(read("id: a\nname: [x\n").findings[0]).toMatchObject({ line: 3 }); });
  it("says that a list is no configuration", () => { expect(read("- a\n").findings[0]?.message).toContain("mapping"); });
  it("takes an empty text for an empty configuration", () => { expect(read("# nothing\n").value).toEqual({}); });
  it("does not blow up a bomb of aliases", () => {
    const bomb = ["a: &a [x, x, x, x, x, x, x, x, x]", ..."b c d e f g h i".split(" ").map((c, i) => `${c}: &${c} [${Array.from({ length: 9 }, () => `*${"abcdefghi"[i] ?? ""}`).join(", ")}]`)].join("\n");
    expect(read(bomb).findings[0]?.message).toMatch(/alias/i);
  });
  it("shows a form of whatever types the text has", () => {
    const view = viewOf({ allowed_tools: "Bash", agents: ["x"], mcp_servers: { a: 3 }, policies: [null, "x"], env: null, max_turns: "many" });
    expect(view).toMatchObject({ tools: [], agents: [], env: [], maxTurns: undefined });
    expect(view.servers[0]?.[1].type).toBe("stdio");
  });
});

describe("places", () => {
  it.each<[string, Path]>([["agents.rev.model", ["agents", "rev", "model"]], ["policies[0].params", ["policies", 0, "params"]], ['env."A B"', ["env", "A B"]], ["", []]])("%s", (text, path) => {
    expect(readPath(text)).toEqual(path);
    expect(written(path)).toBe(text);
  });
  const text = "id: a\nagents:\n  rev:\n    prompt: hi\npolicies:\n  - name: tools\n  - name: path\n";
  it.each([["agents.rev.prompt", 4, 5], ["agents.rev.model", 3, 3], ["policies[1].name", 7, 5], ["policies[1]", 7, 5], ["nowhere", 1, 1]])("finds %s in the text", (path, line, column) => {
    expect(locate(text, path)).toEqual({ line, column });
  });
});
