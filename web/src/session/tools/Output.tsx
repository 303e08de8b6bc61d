import { Code, CodeLine } from "../text/Code";
import { CopyButton } from "../text/CopyButton";
import { useHighlight } from "../text/highlight";
import { cx } from "@/ui/cx";
import { lineCount } from "./args";
import { useFold } from "./folds";

/** Lines that are shown before the rest is folded, and before what is unfolded gets a scrollbar of its own. */
const foldAfter = 12;
const scrollAfter = 400;

export interface OutputProps {
  id: string;
  text: string;
  bad?: boolean;
  /** What it is, for a screen reader and the button that copies it. */
  label?: string;
  /** Give it colours: the language's name, or that of the file that it comes from. */
  language?: string;
  file?: string;
  /** Number of the first line; without it lines have none. */
  from?: number | undefined;
}

/** What a tool printed: folded after 12 lines, with a button that copies all of it. */
export function Output({ id, text, bad = false, label = "output", language = "", file = "", from }: OutputProps) {
  const lines = lineCount(text);
  const [open, toggle] = useFold(`${id}:${label}`, false);
  if (lines === 0) return <p className="px-3 py-1.5 text-xs text-ink-3 italic">No output</p>;
  const folded = lines > foldAfter + 2 && !open;
  const shown = folded ? text.split("\n", foldAfter).join("\n") : text.replace(/\n$/, "");
  // What scrolls has a button in it, so that a keyboard gets there.
  const scrolls = lines > scrollAfter && open;
  return (
    <div className={cx("relative", scrolls && "max-h-[32rem] overflow-y-auto")}>
      <CopyButton text={text} label={`Copy ${label}`} className="absolute top-1 right-1 bg-surface" />
      <pre className={cx("py-2 pr-10 pl-3 font-mono text-xs leading-relaxed break-words whitespace-pre-wrap", bad && "text-bad")}>
        {from !== undefined ? <Numbered text={shown} from={from} file={file} /> : language || file ? <Code text={shown} language={language} file={file} /> : shown}
      </pre>
      {lines > foldAfter + 2 ? (
        <button type="button" aria-expanded={open} onClick={toggle} className={cx("w-full border-t border-line bg-surface px-3 py-1 text-left text-xs text-ink-2 outline-offset-[-2px] hover:bg-sunken hover:text-ink", scrolls && "sticky bottom-0")}>
          {folded ? `Show ${lines - foldAfter} more lines` : "Fold"}
        </button>
      ) : null}
    </div>
  );
}

/** Lines of a file with their numbers. */
function Numbered({ text, from, file }: { text: string; from: number; file: string }) {
  const lines = useHighlight(text, { file });
  const width = `${Math.max(3, String(from + lineCount(text)).length)}ch`;
  return (
    <code className="coloured block">
      {text.split("\n").map((line, i) => (
        <span key={i} className="flex [contain-intrinsic-size:auto_1.625em] [content-visibility:auto]">
          <span aria-hidden className="mr-3 shrink-0 text-right text-ink-3 select-none" style={{ width }}>{from + i}</span>
          <span className="min-w-0 break-words">{lines?.[i] ? <CodeLine tokens={lines[i]} /> : line}{"\n"}</span>
        </span>
      ))}
    </code>
  );
}
