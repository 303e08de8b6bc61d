import Papa from "papaparse";
import { useMemo, useRef } from "react";
import { useRows } from "@/ui/virtual";
import { Notice } from "@/ui/notice";
import { Name } from "../name";

const height = 28;
const maxColumns = 200;
// It scrolls, so it takes focus: see ui/scroll.tsx.
const reachable = { tabIndex: 0 } as const;

/** CSV and TSV as a table. Only the rows in sight are drawn; more than 200 columns are cut. */
export default function TableView({ text, truncated }: { text: string; truncated: boolean }) {
  const scroller = useRef<HTMLDivElement>(null);
  const { head, body, columns, wide } = useMemo(() => {
    const { data } = Papa.parse<string[]>(text, { skipEmptyLines: "greedy" });
    // The last line of a head is probably half a line.
    if (truncated) data.pop();
    const most = data.reduce((n, r) => Math.max(n, r.length), 0);
    const n = Math.min(maxColumns, most);
    // The widths come from the first rows, so that nothing moves while scrolling.
    const width = Array.from({ length: n }, (_, c) => Math.min(40, Math.max(6, ...data.slice(0, 200).map((r) => (r[c] ?? "").length + 4))));
    return { head: data[0] ?? [], body: data.slice(1), columns: width, wide: most > maxColumns ? most : 0 };
  }, [text, truncated]);
  const virtual = useRows(scroller, body.length, height);
  const template = `3.5rem ${columns.map((w) => `${w}ch`).join(" ")}`;
  return (
    <div className="flex h-full flex-col">
      {wide ? <Notice tone="warn" className="m-2">The first {maxColumns} of {wide} columns are shown.</Notice> : null}
      <div ref={scroller} className="min-h-0 flex-1 overflow-auto font-mono text-xs outline-offset-[-2px]" role="table" aria-label="Table" aria-rowcount={body.length + 1} aria-colcount={columns.length} {...reachable}>
        <div role="rowgroup" className="sticky top-0 z-10 w-max min-w-full border-b border-line bg-sunken font-semibold">
          <div role="row" aria-rowindex={1} className="grid" style={{ gridTemplateColumns: template, height }}>
            <span role="columnheader" aria-label="Row" className="border-r border-line" />
            {columns.map((_, c) => <span key={c} role="columnheader" className="truncate border-r border-line px-2 py-1" title={head[c]}><Name text={head[c] ?? ""} /></span>)}
          </div>
        </div>
        <div role="rowgroup" className="relative w-max min-w-full" style={{ height: virtual.height }}>
          {/* An element in the flow gives the width; the rows lie over it. */}
          <div aria-hidden className="grid h-0" style={{ gridTemplateColumns: template }} />
          {virtual.rows.map(({ index, start }) => (
            <div key={index} role="row" aria-rowindex={index + 2} className="absolute inset-x-0 top-0 grid border-b border-line hover:bg-sunken" style={{ gridTemplateColumns: template, height, transform: `translateY(${start}px)` }}>
              <span role="rowheader" className="border-r border-line px-2 py-1 text-right text-ink-3">{index + 1}</span>
              {columns.map((_, c) => <span key={c} role="cell" className="truncate border-r border-line px-2 py-1" title={body[index]?.[c]}><Name text={body[index]?.[c] ?? ""} /></span>)}
            </div>
          ))}
        </div>
      </div>
    </div>
  );
}
