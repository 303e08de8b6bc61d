import { unifiedMergeView } from "@codemirror/merge";
import { Text } from "@codemirror/state";
import { useEffect, useEffectEvent, useRef } from "react";
import { code } from "./editor";
import { lineEnding } from "./ending";

export interface DiffViewProps { before: string; after: string; name: string; label: string; wrap: boolean }

/** What turns before into after, in one column; what is the same is folded. */
export default function DiffView({ before, after, name, label, wrap }: DiffViewProps) {
  const box = useRef<HTMLDivElement>(null);
  const start = useEffectEvent((parent: HTMLElement) => code({
    parent, text: after, name, label, wrap, editable: false,
    extra: unifiedMergeView({
      // Each by its own line ends: a file that only changed those is told so by who shows it, and not as all red and green.
      original: Text.of(before.split(lineEnding(before))),
      mergeControls: false, gutter: true, highlightChanges: before !== "" && after !== "", collapseUnchanged: { margin: 3, minSize: 6 },
      // Bounded: a rewritten file of megabytes must not freeze the page.
      diffConfig: { scanLimit: 500, timeout: 300 },
    }),
  }));
  useEffect(() => {
    if (!box.current) return undefined;
    const made = start(box.current);
    return () => made.destroy();
  }, [before, after, name, label, wrap]);
  return <div ref={box} className="h-full min-h-0 overflow-hidden" />;
}
