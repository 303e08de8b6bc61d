import { useMemo } from "react";
import { bytes } from "@/ui/format";
import { Scroll } from "@/ui/scroll";
import { hexLines } from "./kind";

/** The head of a file that is no text. */
export default function HexView({ head, size }: { head: Uint8Array; size: number }) {
  const lines = useMemo(() => hexLines(head), [head]);
  return (
    <Scroll label="Bytes" className="h-full p-3">
      <pre className="font-mono text-xs leading-5">
        {lines.map((l) => <div key={l.at}><span className="text-ink-3">{l.at}</span>  {l.hex}  <span className="text-ink-2">{l.text}</span></div>)}
      </pre>
      {size > head.length ? <p className="mt-2 text-xs text-ink-3">The first {bytes(head.length)} of {bytes(size)}. Download the file to see all of it.</p> : null}
    </Scroll>
  );
}
