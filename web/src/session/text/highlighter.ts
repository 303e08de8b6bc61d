import { highlightCode } from "@lezer/highlight";
import { highlighting, languageOf, languageOfFence } from "../panels/code/language";
import type { Lines, Token } from "./highlight";

/** How long, in milliseconds, the page is kept from other work at a stretch, and how many pieces of colour one text may have. */
const slice = 5;
const maxTokens = 8_000;

/**
 * The colours of a text, line by line; undefined when its language is not known or it has too many of them. It works in slices, so that
 * typing and scrolling go on, and ends when signal is aborted.
 */
export async function highlight(text: string, language: string, file: string, signal: AbortSignal): Promise<Lines | undefined> {
  const known = file ? languageOf(file) : languageOfFence(language);
  if (!known) return undefined;
  const { language: { parser } } = await known.load();
  const work = parser.startParse(text);
  let tree = null;
  for (let until = performance.now() + slice; tree === null;) {
    if (signal.aborted) return undefined;
    tree = work.advance();
    if (tree === null && performance.now() > until) {
      await new Promise((go) => { setTimeout(go, 0); });
      until = performance.now() + slice;
    }
  }
  const lines: Token[][] = [[]];
  let count = 0;
  highlightCode(text, tree, highlighting, (piece, classes) => { count++; lines.at(-1)?.push({ text: piece, classes }); }, () => { lines.push([]); });
  return count > maxTokens || signal.aborted ? undefined : lines;
}
