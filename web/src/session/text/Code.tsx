import { cx } from "@/ui/cx";
import { type Syntax, type Token, useHighlight } from "./highlight";

/** Code with the colours of its language. Colours only: no weight or slant that would move a line. */
export function Code({ text, className, ...syntax }: { text: string; className?: string } & Syntax) {
  const lines = useHighlight(text, syntax);
  return <code className={cx("coloured", className)}>{lines ? lines.map((tokens, i) => <CodeLine key={i} tokens={tokens} end={i < lines.length - 1} />) : text}</code>;
}

/** The pieces of one line. end adds the line's end. */
export function CodeLine({ tokens, end = false }: { tokens: readonly Token[]; end?: boolean }) {
  return <>{tokens.map((t, i) => (t.classes ? <span key={i} className={t.classes}>{t.text}</span> : t.text))}{end ? "\n" : null}</>;
}
