import { CopyButton } from "../text/CopyButton";
import { cx } from "@/ui/cx";
import { lineCount } from "./args";
import { useFold } from "./folds";

/** Lines that are shown before the rest is folded, and before what is unfolded gets a scrollbar of its own. */
const foldAfter = 12;
const scrollAfter = 400;

/** What a tool printed: folded after 12 lines, with a button that copies all of it. */
export function Output({ id, text, bad = false, label = "output" }: { id: string; text: string; bad?: boolean; label?: string }) {
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
      <pre className={cx("py-2 pr-10 pl-3 font-mono text-xs leading-relaxed break-words whitespace-pre-wrap", bad && "text-bad")}>{shown}</pre>
      {lines > foldAfter + 2 ? (
        <button type="button" aria-expanded={open} onClick={toggle} className={cx("w-full border-t border-line bg-surface px-3 py-1 text-left text-xs text-ink-2 outline-offset-[-2px] hover:bg-sunken hover:text-ink", scrolls && "sticky bottom-0")}>
          {folded ? `Show ${lines - foldAfter} more lines` : "Fold"}
        </button>
      ) : null}
    </div>
  );
}
