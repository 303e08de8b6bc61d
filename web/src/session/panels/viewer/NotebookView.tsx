import { useMemo } from "react";
import { cx } from "@/ui/cx";
import { Notice } from "@/ui/notice";
import { Scroll } from "@/ui/scroll";
import { Code } from "../../text/Code";
import Markdown from "./Markdown";
import { parseNotebook, type Notebook, type Output } from "./notebook";

export default function NotebookView({ text, path, onFile }: { text: string; path: string; onFile: (path: string) => void }) {
  const read = useMemo((): Notebook | string => {
    try { return parseNotebook(text); } catch (error) { return error instanceof Error ? error.message : String(error); }
  }, [text]);
  if (typeof read === "string") return <Notice tone="warn" className="m-3">This is no notebook that can be shown: {read} Look at it as text.</Notice>;
  return (
    <Scroll label="Notebook" className="flex h-full flex-col gap-3 p-3">
      {read.cells.map((cell, i) => (
        <div key={i} className="grid grid-cols-[2.75rem_minmax(0,1fr)] gap-x-2 [contain-intrinsic-size:auto_80px] [content-visibility:auto]">
          <span className="pt-2 text-right font-mono text-xs text-ink-3">{cell.kind === "code" ? `[${cell.count ?? " "}]` : ""}</span>
          {cell.kind === "markdown" ? <Markdown text={cell.source} path={path} onFile={onFile} />
            : <pre className="rounded-md border border-line bg-sunken p-2.5 font-mono text-xs whitespace-pre-wrap [overflow-wrap:anywhere]"><Code text={cell.source} language={cell.kind === "code" ? read.language : ""} /></pre>}
          {cell.outputs.map((output, n) => <div key={n} className="col-start-2 mt-1 min-w-0"><Result output={output} path={path} onFile={onFile} /></div>)}
        </div>
      ))}
    </Scroll>
  );
}

function Result({ output, path, onFile }: { output: Output; path: string; onFile: (path: string) => void }) {
  switch (output.kind) {
    case "text":
      return <Scroll label="Output" className={cx("max-h-96 rounded-md", output.error && "bg-bad-soft text-bad")}><pre className="p-2.5 font-mono text-xs whitespace-pre-wrap">{output.text}</pre></Scroll>;
    case "image":
      return <img src={output.url} alt="Output of the cell" className="max-w-full rounded bg-white" />;
    case "markdown":
      return <Markdown text={output.text} path={path} onFile={onFile} />;
    case "html":
      return (
        <details className="rounded-md border border-line text-xs">
          <summary className="cursor-pointer px-2.5 py-1.5 text-ink-2">HTML output, as text</summary>
          <Scroll label="HTML output" className="max-h-96 border-t border-line"><pre className="p-2.5 font-mono whitespace-pre-wrap">{output.text}</pre></Scroll>
        </details>
      );
  }
}
