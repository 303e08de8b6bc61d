import type { components } from "@/api/schema";
import type { Command } from "../types";

/** What is being completed: the word under the caret, from its mark to the caret. */
export interface Wanted { kind: "command" | "file"; word: string; from: number; to: number }

/** One way to complete it. insert takes the place of the word. */
export interface Choice { insert: string; label: string; hint: string }

/** Choices that are shown at most. */
const most = 8;

/** A slash command is the first word of a message; a mention begins with @ after a blank. */
export function wantedAt(text: string, caret: number): Wanted | undefined {
  const before = text.slice(0, caret);
  const command = /^\/(\S*)$/.exec(before);
  if (command) return { kind: "command", word: command[1] ?? "", from: 0, to: caret };
  const mention = /(?:^|\s)@(\S*)$/.exec(before);
  if (mention) return { kind: "file", word: mention[1] ?? "", from: caret - (mention[1]?.length ?? 0) - 1, to: caret };
  return undefined;
}

export function commandChoices(commands: readonly Command[], word: string): Choice[] {
  const w = word.toLowerCase();
  return commands
    .filter((c) => c.name.toLowerCase().includes(w))
    .sort((a, b) => Number(b.name.toLowerCase().startsWith(w)) - Number(a.name.toLowerCase().startsWith(w)))
    .slice(0, most)
    .map((c) => ({ insert: `/${c.name} `, label: `/${c.name}${c.argument_hint ? ` ${c.argument_hint}` : ""}`, hint: c.description }));
}

export function fileChoices(paths: readonly string[], word: string): Choice[] {
  const w = word.toLowerCase();
  const ranked: { path: string; rank: number }[] = [];
  for (const path of paths) {
    const at = path.toLowerCase().indexOf(w);
    if (at < 0) continue;
    const base = path.lastIndexOf("/", path.length - 2) + 1;
    ranked.push({ path, rank: at === 0 || at === base ? 0 : at > base ? 1 : 2 });
  }
  return ranked.sort((a, b) => a.rank - b.rank || a.path.length - b.path.length).slice(0, most)
    .map(({ path }) => ({ insert: mention(path), label: path, hint: "" }));
}

/** How a message names a file: one with a blank in its path stands in quotes. A blank follows. */
export function mention(path: string): string { return /\s/.test(path) ? `@"${path}" ` : `@${path} `; }

type Node = components["schemas"]["Node"];

/** Every path of a workspace's tree; folders end with a slash. */
export function pathsOf(tree: Node): string[] {
  const out: string[] = [];
  const walk = (node: Node, prefix: string) => {
    for (const child of node.children ?? []) {
      const path = prefix + child.name;
      if (child.type === "directory") { out.push(`${path}/`); walk(child, `${path}/`); } else out.push(path);
    }
  };
  walk(tree, "");
  return out;
}
