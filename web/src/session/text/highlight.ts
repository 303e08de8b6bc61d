import { useEffect, useState } from "react";
import { whenIdle } from "@/ui/idle";

/** A piece of a line with the classes of its colour; "" for none. */
export interface Token { text: string; classes: string }

/** A text in lines of coloured pieces. */
export type Lines = readonly (readonly Token[])[];

/** Longer texts stay plain, in characters: the colours of megabytes help nobody and cost everybody. */
export const longest = 60_000;
/** How many characters of coloured texts are remembered, so that what scrolls back into view has its colours at once. */
const remembered = 1_000_000;

// By syntax, then by text. Insertion order is age.
const known = new Map<string, Map<string, Lines | undefined>>();
let size = 0;

function remember(syntax: string, code: string, lines: Lines | undefined) {
  if (size > remembered) { known.clear(); size = 0; }
  let texts = known.get(syntax);
  if (!texts) known.set(syntax, texts = new Map<string, Lines | undefined>());
  texts.set(code, lines);
  size += code.length;
}

/** Resolves when the page has nothing more urgent to do, or after a second: a session that opens comes first, then its colours, text by text. */
function idle(): Promise<void> {
  return new Promise((go) => { whenIdle(go); });
}

/** How a text is to be coloured: as the language that a fence names, or as a file of this name. wait holds it off while the text is still written. */
export interface Syntax { language?: string | undefined; file?: string | undefined; wait?: boolean }

/**
 * The colours of a text once they are known, else undefined: show it plain, at the same size, until then. CodeMirror's languages are fetched when a
 * text first needs them.
 */
export function useHighlight(code: string, { language = "", file = "", wait = false }: Syntax): Lines | undefined {
  const syntax = file ? `\n${file.slice(file.lastIndexOf("/") + 1)}` : language;
  const [done, setDone] = useState<{ syntax: string; code: string; lines: Lines | undefined }>();
  const off = wait || syntax === "" || code === "" || code.length > longest;
  useEffect(() => {
    if (off || known.get(syntax)?.has(code)) return undefined;
    const stop = new AbortController();
    const left = () => stop.signal.aborted;
    void (async () => {
      try {
        await idle();
        if (left()) return;
        const { highlight } = await import("./highlighter");
        const lines = await highlight(code, syntax.startsWith("\n") ? "" : syntax, syntax.startsWith("\n") ? syntax.slice(1) : "", stop.signal);
        if (left()) return;
        remember(syntax, code, lines);
        setDone({ syntax, code, lines });
      } catch { /* a part of the page could not be fetched: the text stays plain */ }
    })();
    return () => { stop.abort(); };
  }, [off, syntax, code]);
  if (off) return undefined;
  return known.get(syntax)?.get(code) ?? (done?.syntax === syntax && done.code === code ? done.lines : undefined);
}
