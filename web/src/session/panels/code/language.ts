import { HighlightStyle, LanguageDescription } from "@codemirror/language";
import { languages } from "@codemirror/language-data";
import { tags as t } from "@lezer/highlight";

// By class, so that code outside of an editor (text/highlighter.ts) has the same colours. Text roles keep 4.5:1 on every background role.
export const highlighting = HighlightStyle.define([
  { tag: [t.keyword, t.modifier, t.operatorKeyword, t.controlKeyword, t.moduleKeyword], class: "text-accent-ink" },
  { tag: [t.string, t.special(t.string), t.character, t.regexp], class: "text-good" },
  { tag: [t.number, t.bool, t.null, t.atom, t.escape, t.unit, t.color, t.typeName, t.className, t.namespace, t.tagName], class: "text-warn" },
  { tag: [t.comment, t.meta, t.documentMeta], class: "text-ink-3 italic" },
  { tag: [t.definition(t.variableName), t.function(t.variableName), t.definition(t.propertyName), t.labelName], class: "font-semibold" },
  { tag: [t.propertyName, t.attributeName], class: "text-ink-2" },
  { tag: t.heading, class: "font-bold text-accent-ink" },
  { tag: t.link, class: "text-accent-ink underline" },
  { tag: t.strong, class: "font-bold" },
  { tag: t.emphasis, class: "italic" },
  { tag: t.strikethrough, class: "line-through" },
  { tag: t.inserted, class: "text-good" },
  { tag: [t.deleted, t.invalid], class: "text-bad" },
]);

// Names that the host gives (those of Highlight.js) and that CodeMirror knows by another.
const aliases: Record<string, string> = { bash: "shell", ini: "properties files", xml: "xml", vbnet: "vb.net", x86asm: "gas", plaintext: "", text: "", makefile: "", objectivec: "objective-c", delphi: "pascal", nginx: "nginx" };

// Endings that CodeMirror does not know.
const endings: Record<string, string> = { ipynb: "json", jsonl: "json", jsonc: "json", geojson: "json", webmanifest: "json", bashrc: "sh", envrc: "sh", zsh: "sh", pyi: "py" };

/** The language of a file: by its name, else by what the host calls it. */
export function languageOf(name: string, hint?: string): LanguageDescription | null {
  const ending = endings[name.slice(name.lastIndexOf(".") + 1).toLowerCase()];
  const byName = LanguageDescription.matchFilename(languages, ending ? `x.${ending}` : name);
  if (byName || !hint) return byName;
  const wanted = aliases[hint] ?? hint;
  return wanted ? LanguageDescription.matchLanguageName(languages, wanted, true) : null;
}

// What people write behind ``` that is neither a name nor an ending that CodeMirror knows.
const fences: Record<string, string> = { golang: "go", jsonc: "json", json5: "json", "c++": "cpp", node: "javascript", docker: "dockerfile", ps1: "powershell", ipython: "python", ipython3: "python", text: "", plaintext: "", txt: "", output: "" };

/** The language of a fenced block, by its name or by the ending of such files. Nothing is guessed: what is not known has no colours. */
export function languageOfFence(info: string): LanguageDescription | null {
  const said = info.toLowerCase();
  const name = fences[said] ?? said;
  if (!name) return null;
  return LanguageDescription.matchLanguageName(languages, name, false) ?? LanguageDescription.matchFilename(languages, `x.${name}`);
}
