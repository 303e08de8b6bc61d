import { describe, expect, it } from "vitest";
import { splitMarkdown } from "./split";

describe("splitting markdown", () => {
  it.each<[string, string, string[]]>([
    ["paragraphs", "a\n\nb", ["a\n\n", "b"]],
    ["a fence with blank lines", "```js\na\n\nb\n```\n\nc", ["```js\na\n\nb\n```\n\n", "c"]],
    ["a fence that is still open", "x\n\n```\na\n\nb", ["x\n\n", "```\na\n\nb"]],
    ["a shorter fence within a longer one", "````\n```\n\na\n````\n\nb", ["````\n```\n\na\n````\n\n", "b"]],
    ["a loose list stays whole", "- a\n\n- b\n\n  more\n\nafter", ["- a\n\n- b\n\n  more\n\n", "after"]],
    ["an ordered list stays whole", "1. a\n\n2. b", ["1. a\n\n2. b"]],
    ["nothing", "", [""]],
  ])("keeps %s together", (_, text, parts) => { expect(splitMarkdown(text)).toEqual(parts); });

  it("loses nothing, wherever the text is cut off", () => {
    const text = "# T\n\npara\n\n```sh\nls\n\n```\n\n- a\n\n- b\n\n> q\n\nend\n";
    for (let i = 0; i <= text.length; i++) expect(splitMarkdown(text.slice(0, i)).join("")).toBe(text.slice(0, i));
  });
});
