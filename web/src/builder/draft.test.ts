import { describe, expect, it } from "vitest";
import { begin, errorAt, findingsOf, step } from "./draft";
import { template } from "./template";

describe("a draft", () => {
  it("is not saved once the form changed it, and is again when it was put back", () => {
    const start = begin(template);
    const changed = step(start, { do: "edit", path: ["name"], value: "Other" });
    expect(changed.text).not.toBe(changed.saved);
    expect(changed.view.name).toBe("Other");
    expect(step(changed, { do: "edit", path: ["name"], value: "My Agent" }).text).toBe(template);
  });
  it("keeps what the form shows while the text can't be read", () => {
    const broken = step(begin(template), { do: "text", text: `${template}broken: [` });
    expect(broken.read.value).toBeUndefined();
    expect(broken.view.name).toBe("My Agent");
    expect(step(broken, { do: "edit", path: ["name"], value: "x" })).toBe(broken);
  });
  it("is another one once it is loaded", () => { expect(step(begin(template), { do: "load", text: "id: b\n" })).toMatchObject({ text: "id: b\n", saved: "id: b\n", view: { id: "b" } }); });
});

describe("what is wrong", () => {
  const text = "id: a\nagents:\n  rev:\n    model: x\n";
  const findings = findingsOf({ valid: false, errors: [{ path: "agents.rev.model", message: "no model" }, { path: "id", message: "taken", line: 9, column: 2 }, { message: "odd" }] }, text);
  it("has a line: the host's, or that of its place", () => { expect(findings.map((f) => [f.line, f.column])).toEqual([[4, 5], [9, 2], [1, 1]]); });
  it("is found at its field, or around it when asked so", () => {
    expect(errorAt(findings, "agents.rev.model", false)).toBe("no model");
    expect(errorAt(findings, "agents.rev", false)).toBeUndefined();
    expect(errorAt(findings, "agents.rev", true)).toBe("model: no model");
    expect(errorAt(findings, "agents.re", true)).toBeUndefined();
  });
  it("is nothing for a null list", () => { expect(findingsOf({ valid: true, errors: null }, text)).toEqual([]); });
});
