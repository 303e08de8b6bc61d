import { ChevronRight, File, Folder, FolderOpen, Link2, Pencil } from "lucide-react";
import { useEffect, useId, useRef, useState, type DragEvent, type KeyboardEvent, type MouseEvent } from "react";
import { bytes } from "@/ui/format";
import { cx } from "@/ui/cx";
import { useRows } from "@/ui/virtual";
import { folderOf } from "../address";
import { Name, visible } from "../name";
import type { Marks } from "./tree";
import { isFolder, moved, parentOf, typed, type Row } from "./tree";

export interface FileTreeProps {
  rows: readonly Row[];
  marks: Marks;
  selected: ReadonlySet<string>;
  /** Keys of files that have unsaved changes in the viewer. */
  unsaved: ReadonlySet<string>;
  active: string | undefined;
  startAt: number;
  onActive: (key: string) => void;
  onSelect: (keys: ReadonlySet<string>) => void;
  onOpen: (row: Row, open: boolean) => void;
  onFile: (row: Row) => void;
  onRename: (row: Row) => void;
  onDelete: (row: Row) => void;
  /** folder is where it was dropped. */
  onDrop: (data: DataTransfer, folder: string) => void;
  onScroll: (top: number) => void;
}

const height = 28;
// Drawn by itself: each row has one, and an icon of the library is three components.
const dots = <svg width={14} height={14} viewBox="0 0 24 24" fill="currentColor"><circle cx={5} cy={12} r={2} /><circle cx={12} cy={12} r={2} /><circle cx={19} cy={12} r={2} /></svg>;
const letters = { added: ["A", "text-good", "added"], modified: ["M", "text-warn", "modified"], deleted: ["D", "text-bad", "deleted"] } as const;

/** The tree. Focus stays on it and the active row is told by aria-activedescendant, so that rows can come and go. */
export function FileTree(props: FileTreeProps) {
  const { rows, marks, selected, unsaved, active, startAt, onActive, onSelect, onOpen, onFile, onRename, onDelete, onDrop, onScroll } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const id = useId();
  const [over, setOver] = useState<string>();
  const typing = useRef({ text: "", at: 0 });
  const virtual = useRows(scroller, rows.length, height, (i) => rows[i]?.key ?? i);
  const found = rows.findIndex((r) => r.key === active);
  const at = Math.max(0, found);

  useEffect(() => { scroller.current?.scrollTo({ top: startAt }); }, [startAt]);

  function go(i: number, extend: boolean) {
    const row = rows[i];
    if (!row) return;
    onActive(row.key);
    virtual.scrollTo(i);
    if (extend) onSelect(new Set([...selected, ...between(at, i)]));
  }

  function between(a: number, b: number): string[] { return rows.slice(Math.min(a, b), Math.max(a, b) + 1).map((r) => r.key); }

  function toggle(key: string) {
    const next = new Set(selected);
    if (!next.delete(key)) next.add(key);
    onSelect(next);
  }

  function element(i: number): HTMLElement | null { return document.getElementById(`${id}-${i}`); }

  function onKeyDown(e: KeyboardEvent) {
    const row = rows[at];
    if (!row || e.altKey) return;
    const page = Math.max(1, Math.floor((scroller.current?.clientHeight ?? height) / height) - 1);
    const to = moved(e.key, rows, at, page);
    const plain = !e.ctrlKey && !e.metaKey;
    if (to !== undefined) go(to, e.shiftKey);
    else if (e.key === "ArrowRight" && row.open === false) onOpen(row, true);
    else if (e.key === "ArrowRight" && row.open) { if ((rows[at + 1]?.level ?? 0) > row.level) go(at + 1, false); } else if (e.key === "ArrowLeft" && row.open) onOpen(row, false);
    else if (e.key === "ArrowLeft") go(parentOf(rows, at), false);
    else if (e.key === "Enter") act(row);
    else if (e.key === " ") toggle(row.key);
    else if (e.key === "Escape" && selected.size > 0) onSelect(new Set());
    else if (e.key === "F2") onRename(row);
    else if (e.key === "Delete") onDelete(row);
    else if (e.key === "ContextMenu" || (e.key === "F10" && e.shiftKey)) menu(at);
    else if (e.key === "*") rows.filter((r) => r.level === row.level && r.open === false && folderOf(r.node.path) === folderOf(row.node.path)).forEach((r) => onOpen(r, true));
    else if (!plain && e.key.toLowerCase() === "a") onSelect(new Set(rows.map((r) => r.key)));
    else if (plain && Array.from(e.key).length === 1) {
      const again = Date.now() - typing.current.at < 700;
      typing.current = { text: (again ? typing.current.text : "") + e.key, at: Date.now() };
      const hit = typed(rows, again ? at : at + 1, typing.current.text);
      if (hit !== undefined) go(hit, false);
    } else return;
    e.preventDefault();
    e.stopPropagation();
  }

  function act(row: Row) {
    if (isFolder(row.node)) onOpen(row, row.open !== true);
    else onFile(row);
  }

  /** Opens the menu of a row as a right click on it does. */
  function menu(i: number) {
    const box = element(i)?.getBoundingClientRect();
    if (box) element(i)?.dispatchEvent(new window.MouseEvent("contextmenu", { bubbles: true, clientX: box.left + Math.min(200, box.width / 2), clientY: box.bottom }));
  }

  function indexOf(target: EventTarget): number {
    const line = target instanceof Element ? target.closest<HTMLElement>("[data-index]") : null;
    return line ? Number(line.dataset.index) : -1;
  }

  function onClick(e: MouseEvent) {
    const i = indexOf(e.target);
    const row = rows[i];
    if (!row) return;
    onActive(row.key);
    if (e.target instanceof Element && e.target.closest("[data-menu]")) menu(i);
    else if (e.ctrlKey || e.metaKey) toggle(row.key);
    else if (e.shiftKey) onSelect(new Set(between(at, i)));
    else {
      if (selected.size > 0) onSelect(new Set());
      act(row);
    }
  }

  function folderUnder(e: DragEvent): string {
    const row = rows[indexOf(e.target)];
    if (!row) return "";
    return isFolder(row.node) ? row.node.path : folderOf(row.node.path);
  }

  return (
    <div
      ref={scroller} role="tree" aria-label="Files" aria-multiselectable tabIndex={0} {...(found >= 0 || rows.length > 0 ? { "aria-activedescendant": `${id}-${at}` } : {})}
      onKeyDown={onKeyDown} onClick={onClick} onScroll={(e) => onScroll(e.currentTarget.scrollTop)}
      onContextMenu={(e) => { const row = rows[indexOf(e.target)]; if (row) onActive(row.key); }}
      onDragOver={(e) => { if (e.dataTransfer.types.includes("Files")) { e.preventDefault(); setOver(folderUnder(e)); } }}
      onDragLeave={(e) => { if (!e.currentTarget.contains(e.relatedTarget as Element | null)) setOver(undefined); }}
      onDrop={(e) => { e.preventDefault(); setOver(undefined); onDrop(e.dataTransfer, folderUnder(e)); }}
      className={cx("group h-full overflow-auto py-1 outline-offset-[-2px]", over === "" && "bg-accent-soft")}
    >
      <div role="presentation" className="relative" style={{ height: virtual.height }}>
        {virtual.rows.map(({ index, start }) => {
          const row = rows[index];
          if (!row) return null;
          const { node, key } = row;
          const mark = marks.get(node.path);
          const letter = mark && mark !== "inside" ? letters[mark] : undefined;
          return (
            <div
              key={key} id={`${id}-${index}`} data-index={index} role="treeitem" tabIndex={-1} aria-level={row.level} aria-posinset={row.place} aria-setsize={row.siblings}
              aria-selected={selected.has(key)} {...(row.open === undefined ? {} : { "aria-expanded": row.open })}
              title={visible(node.path)}
              className={cx(
                "absolute inset-x-0 top-0 flex cursor-pointer items-center gap-1.5 pr-1 text-sm hover:bg-sunken",
                selected.has(key) && "bg-accent-soft hover:bg-accent-soft", index === at && "group-focus-visible:ring-2 group-focus-visible:ring-accent group-focus-visible:ring-inset",
                over !== undefined && over !== "" && (node.path === over || node.path.startsWith(`${over}/`)) && "bg-accent-soft",
              )}
              style={{ height, transform: `translateY(${start}px)`, paddingLeft: 8 + Math.min(row.level - 1, 24) * 14 }}
            >
              {row.open === undefined ? <span className="w-3.5 shrink-0" /> : <ChevronRight size={14} aria-hidden className={cx("shrink-0 text-ink-3 transition-transform", row.open && "rotate-90")} />}
              <Kind row={row} />
              <span className={cx("min-w-0 flex-1 truncate", letter?.[1])}>
                <Name text={node.name} />
                {node.type === "symlink" ? <span className="text-ink-3"> → <Name text={node.target ?? ""} /></span> : null}
              </span>
              <span className="sr-only">{letter ? `, ${letter[2]}` : ""}{unsaved.has(key) ? ", unsaved changes" : ""}{node.type === "file" ? ", " : ""}</span>
              {unsaved.has(key) ? <Pencil size={12} className="shrink-0 text-accent-ink" aria-hidden /> : null}
              {letter ? <span className={cx("w-3 shrink-0 text-center font-mono text-xs font-semibold", letter[1])} aria-hidden>{letter[0]}</span> : null}
              {mark === "inside" ? <span className="mx-0.5 size-1.5 shrink-0 rounded-full bg-warn" aria-hidden /> : null}
              {node.type === "file" ? <span className="shrink-0 text-xs text-ink-3 tabular-nums">{bytes(node.size)}</span> : null}
              <span data-menu aria-hidden className="shrink-0 rounded p-1 text-ink-3 hover:bg-line hover:text-ink">{dots}</span>
            </div>
          );
        })}
      </div>
    </div>
  );
}

function Kind({ row }: { row: Row }) {
  const Icon = row.node.type === "symlink" ? Link2 : row.open === true ? FolderOpen : row.open === false ? Folder : File;
  return <Icon size={15} aria-hidden className={cx("shrink-0", row.open === undefined ? "text-ink-3" : "text-accent-ink")} />;
}
