import { useMemo } from "react";
import { cx } from "@/ui/cx";
import { CodeLine } from "../text/Code";
import { CopyButton } from "../text/CopyButton";
import { type Token, useHighlight } from "../text/highlight";
import { countLines, type DiffLine, diffLines, withContext } from "./diff";
import { useFold } from "./folds";

const foldAfter = 24;
const marks = { same: " ", added: "+", removed: "-" } as const;
const looks = { same: "", added: "bg-good-soft text-good", removed: "bg-bad-soft text-bad" } as const;
const said = { same: "", added: "added: ", removed: "removed: " } as const;

/** The lines that an edit changes, in the colours of the file's language. numbered is for whole files: an edit's text may be anywhere in its file. */
export function DiffView({ id, before, after, file, numbered = false }: { id: string; before: string; after: string; file: string; numbered?: boolean }) {
  const lines = useMemo(() => withContext(diffLines(before, after)), [before, after]);
  const [open, toggle] = useFold(`${id}:diff`, false);
  const old = useHighlight(before, { file });
  const now = useHighlight(after, { file });
  const tokens = (line: DiffLine | null) => (line?.kind === "removed" ? old?.[(line.before ?? 0) - 1] : now?.[(line?.after ?? 0) - 1]);
  const folded = lines.length > foldAfter + 3 && !open;
  return (
    <div className="relative">
      {after ? <CopyButton text={after} label="Copy the new text" className="absolute top-1 right-1 bg-surface" /> : null}
      <div className="py-1 font-mono text-xs leading-relaxed">
        {(folded ? lines.slice(0, foldAfter) : lines).map((line, i) => <Line key={i} line={line} tokens={tokens(line)} numbered={numbered} />)}
      </div>
      {lines.length > foldAfter + 3 ? (
        <button type="button" aria-expanded={open} onClick={toggle} className="w-full border-t border-line px-3 py-1 text-left text-xs text-ink-2 outline-offset-[-2px] hover:bg-sunken hover:text-ink">
          {folded ? `Show ${lines.length - foldAfter} more lines` : "Fold"}
        </button>
      ) : null}
    </div>
  );
}

function Line({ line, tokens, numbered }: { line: DiffLine | null; tokens: readonly Token[] | undefined; numbered: boolean }) {
  if (!line) return <div className="px-3 text-ink-3" aria-label="unchanged lines left out">⋯</div>;
  return (
    <div className={cx("flex pr-10 whitespace-pre-wrap", looks[line.kind])}>
      {numbered ? <span aria-hidden className="w-10 shrink-0 pr-2 text-right text-ink-3 select-none">{line.after ?? line.before}</span> : null}
      <span aria-hidden className={cx("w-5 shrink-0 text-center select-none", !numbered && "pl-1")}>{marks[line.kind]}</span>
      <span className="sr-only">{said[line.kind]}</span>
      <span className="coloured min-w-0 break-words text-ink">{tokens?.length ? <CodeLine tokens={tokens} /> : line.text || " "}</span>
    </div>
  );
}

/** "+3 −1", for the head of a card. */
export function LineCounts({ before, after }: { before: string; after: string }) {
  const { added, removed } = useMemo(() => countLines(diffLines(before, after)), [before, after]);
  return (
    <span className="font-mono text-xs" aria-label={`${added} lines added, ${removed} removed`}>
      {added > 0 ? <span className="text-good">+{added}</span> : null}{added > 0 && removed > 0 ? " " : null}{removed > 0 ? <span className="text-bad">−{removed}</span> : null}
    </span>
  );
}
