import { cx } from "@/ui/cx";

// What would change how a name looks without being seen: control characters, and format characters that turn text around or hide.
// eslint's no-control-regex does not see a class that is made of code points.
const hidden = new RegExp("[\\p{Cc}\\p{Zl}\\p{Zp}\\p{Cf}\\u00a0\\u3164\\ufe00-\\ufe0f]", "u");

function mark(c: string): string {
  const n = c.codePointAt(0) ?? 0;
  if (c === "\n") return "\\n";
  if (c === "\t") return "\\t";
  if (c === "\r") return "\\r";
  if (n < 0xa0) return `\\x${n.toString(16).padStart(2, "0")}`;
  return `\u27e8U+${n.toString(16).toUpperCase().padStart(4, "0")}\u27e9`;
}

/** A name in parts; those that are marks stand for a character that can't be seen. */
export function parts(name: string): { text: string; mark: boolean }[] {
  if (!hidden.test(name)) return [{ text: name, mark: false }]; // nearly all names
  const all: { text: string; mark: boolean }[] = [];
  for (const c of name) {
    const is = hidden.test(c);
    const last = all.at(-1);
    if (last?.mark === is) last.text += is ? mark(c) : c;
    else all.push({ text: is ? mark(c) : c, mark: is });
  }
  return all;
}

/** A name with what can't be seen made visible, for titles and labels. */
export function visible(name: string): string { return parts(name).map((p) => p.text).join(""); }

/** Shows a name that somebody chose to be hostile: its direction stays inside, nothing is invisible, and it is one line. */
export function Name({ text, className }: { text: string; className?: string }) {
  return (
    <bdi className={cx("whitespace-pre", className)}>
      {parts(text).map((p, i) => p.mark ? <span key={i} className="rounded bg-warn-soft px-px text-warn">{p.text}</span> : p.text)}
    </bdi>
  );
}
