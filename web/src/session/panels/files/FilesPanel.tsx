import { useQueryClient } from "@tanstack/react-query";
import {
  Archive, ChevronsDownUp, ClipboardCopy, Download, FilePlus, FileText, FolderPlus, FolderUp, ListChecks, Pencil, Plus, RefreshCw, Search, Trash2, Upload, X,
} from "lucide-react";
import { ContextMenu } from "radix-ui";
import { useDeferredValue, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { request } from "@/api/client";
import { Button, IconButton } from "@/ui/button";
import { cx } from "@/ui/cx";
import { Empty } from "@/ui/empty";
import { Input } from "@/ui/field";
import { bytes } from "@/ui/format";
import { Menu, type MenuItem } from "@/ui/menu";
import { ProblemNotice } from "@/ui/notice";
import { Skeleton } from "@/ui/skeleton";
import { toast, toastProblem } from "@/ui/toast";
import { copy } from "../../text/CopyButton";
import { baseName, fileUrl, folderOf, join } from "../address";
import { filesKey, sendJSON, useChanges, useFilesChanged, useOpenFile, useTree } from "../data";
import { visible } from "../name";
import type { Node } from "../types";
import { keepDraft, draftOf, useDrafts } from "../viewer/drafts";
import { DeleteDialog, PathDialog, ReplaceDialog } from "./dialogs";
import { download, exportFiles, useTransfer } from "./exports";
import { FileTree } from "./FileTree";
import { chosen, dropped } from "./sources";
import { Bar, UploadBar } from "./Transfers";
import { isFolder, marksOf, pathsOf, rowsOf, search, type Row } from "./tree";
import { uploadsOf } from "./uploads";

// How the tree of a session was left, for when its tab is shown again.
const left = new Map<string, { open: ReadonlySet<string>; scroll: number }>();

type Asked = { what: "file" | "folder"; folder: string } | { what: "rename"; row: Row } | { what: "delete"; rows: Row[] } | undefined;

export default function FilesPanel({ sessionId }: { sessionId: string }) {
  const tree = useTree(sessionId);
  const changes = useChanges(sessionId, "turn");
  const client = useQueryClient();
  const changed = useFilesChanged(sessionId);
  const { open: openFile } = useOpenFile();
  const uploads = uploadsOf(sessionId);
  const progress = useSyncExternalStore(uploads.subscribe, uploads.snapshot);
  const transfer = useTransfer();
  const unsaved = useDrafts(sessionId);
  const [open, setOpen] = useState<ReadonlySet<string>>(left.get(sessionId)?.open ?? new Set());
  const [startAt] = useState(left.get(sessionId)?.scroll ?? 0);
  const scroll = useRef(startAt);
  const [active, setActive] = useState<string>();
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const [query, setQuery] = useState("");
  const [asked, setAsked] = useState<Asked>();
  const filesInput = useRef<HTMLInputElement>(null);
  const folderInput = useRef<HTMLInputElement>(null);
  const target = useRef("");

  const wanted = useDeferredValue(query.trim());
  const root = tree.data?.tree;
  const found = useMemo(() => (root && wanted ? search(root, wanted) : undefined), [root, wanted]);
  const rows = useMemo(() => (root ? rowsOf(root, open, found?.shown) : []), [root, open, found]);
  const marks = useMemo(() => marksOf(changes.data?.changes ?? []), [changes.data]);

  useEffect(() => () => { left.set(sessionId, { open, scroll: scroll.current }); }, [sessionId, open]);

  // What was uploaded shows when all of it has ended, not file by file.
  const ended = progress.total > 0 && !progress.running ? progress.done : 0;
  useEffect(() => { if (ended > 0) void client.invalidateQueries({ queryKey: filesKey(sessionId) }); }, [ended, client, sessionId]);

  const row = rows.find((r) => r.key === active);
  /** What an action is about: the selection when the active row is in it, else the active row. */
  const chosenRows = row && !selected.has(row.key) ? [row] : rows.filter((r) => selected.has(r.key));
  const here = row ? (isFolder(row.node) ? row.node.path : folderOf(row.node.path)) : "";

  function setFolder(r: Row, isOpen: boolean) {
    setOpen((old) => {
      const next = new Set(old);
      if (isOpen) next.add(r.key);
      else next.delete(r.key);
      return next;
    });
  }

  function upload(sources: ReturnType<typeof chosen>) {
    if (sources.length === 0) return;
    const there: ReadonlyMap<string, Node> = pathsOf(root);
    uploads.add(sources, (path) => there.has(path));
  }

  function pick(input: HTMLInputElement | null, folder: string) {
    target.current = folder;
    input?.click();
  }

  async function create(what: "file" | "folder", path: string) {
    if (what === "file") await request(fileUrl(sessionId, path), { method: "PUT", body: "", headers: { "If-None-Match": "*" } });
    else await sendJSON("POST", `/api/files/${encodeURIComponent(sessionId)}/folders`, { path });
    reveal(path);
    changed();
    if (what === "file") openFile(path);
  }

  function reveal(path: string) {
    setOpen((old) => {
      const next = new Set(old);
      for (let up = folderOf(path); up; up = folderOf(up)) next.add(up);
      return next;
    });
    setActive(path);
  }

  async function rename(from: Row, to: string) {
    await sendJSON("POST", `/api/files/${encodeURIComponent(sessionId)}/move`, { from: from.node.path, to });
    const draft = draftOf(sessionId, from.key);
    if (draft) { keepDraft(sessionId, to, draft); keepDraft(sessionId, from.key, undefined); }
    reveal(to);
    changed();
  }

  async function remove(list: readonly Row[]) {
    try {
      for (const r of list) {
        await request(`${fileUrl(sessionId, r.key)}${isFolder(r.node) ? "?recursive=true" : ""}`, { method: "DELETE" });
        keepDraft(sessionId, r.key, undefined);
      }
      toast(list.length === 1 ? `Deleted ${visible(list[0]?.node.path ?? "")}` : `Deleted ${list.length} entries`);
    } finally {
      setSelected(new Set());
      changed();
    }
  }

  /** The empty workspace takes drops, too. It is no control, so its listeners are its own. */
  function dropOnEmpty(el: HTMLDivElement | null) {
    const over = (e: DragEvent) => e.preventDefault();
    const drop = (e: DragEvent) => { e.preventDefault(); if (e.dataTransfer) void dropped(e.dataTransfer, "").then(upload, toastProblem); };
    el?.addEventListener("dragover", over);
    el?.addEventListener("drop", drop);
    return () => { el?.removeEventListener("dragover", over); el?.removeEventListener("drop", drop); };
  }

  /** Without those that lie in a folder of the list. */
  function tops(list: readonly Row[]): Row[] {
    const folders = new Set(list.filter((r) => isFolder(r.node)).map((r) => r.node.path));
    return list.filter((r) => {
      for (let up = folderOf(r.node.path); up; up = folderOf(up)) if (folders.has(up)) return false;
      return true;
    });
  }

  function saveRows(list: readonly Row[]) {
    const one = list.length === 1 ? list[0] : undefined;
    if (one?.node.type === "file") transfer.run(baseName(one.node.path), (signal, tell) => download(sessionId, one.key, signal, tell));
    else if (list.some((r) => r.node.path_bytes)) toastProblem(new Error("A name that is no UTF-8 can't be exported by itself; export the folder that it is in."));
    else transfer.run("Export", (signal, tell) => exportFiles(sessionId, list.map((r) => r.node.path), signal, tell));
  }

  const actions: (MenuItem | null)[] = row ? [
    ...(isFolder(row.node) ? [] : [{ label: "Open", icon: FileText, hint: "Enter", onSelect: () => openFile(row.key) }]),
    { label: selected.has(row.key) ? "Deselect" : "Select", icon: ListChecks, hint: "Space", onSelect: () => { const next = new Set(selected); if (!next.delete(row.key)) next.add(row.key); setSelected(next); } },
    { label: "Copy path", icon: ClipboardCopy, onSelect: () => { void copy(row.node.path, "the path"); } },
    { label: isFolder(row.node) || chosenRows.length > 1 ? "Export as zip" : "Download", icon: Download, onSelect: () => saveRows(tops(chosenRows)) },
    null,
    { label: "New file here", icon: FilePlus, onSelect: () => setAsked({ what: "file", folder: here }) },
    { label: "New folder here", icon: FolderPlus, onSelect: () => setAsked({ what: "folder", folder: here }) },
    { label: "Upload here", icon: Upload, onSelect: () => pick(filesInput.current, here) },
    null,
    { label: "Rename or move", icon: Pencil, hint: "F2", disabled: row.node.path_bytes !== undefined, onSelect: () => setAsked({ what: "rename", row }) },
    { label: chosenRows.length > 1 ? `Delete ${chosenRows.length} entries` : "Delete", icon: Trash2, hint: "Del", danger: true, onSelect: () => setAsked({ what: "delete", rows: tops(chosenRows) }) },
  ] : [];

  return (
    <div className="flex h-full min-h-0 flex-col">
      <div className="flex shrink-0 items-center gap-1 border-b border-line p-2">
        <div className="relative min-w-0 flex-1">
          <Search size={14} className="absolute top-2 left-2 text-ink-3" aria-hidden />
          <Input type="search" aria-label="Search files" placeholder="Search files" value={query} onChange={(e) => setQuery(e.target.value)} className="h-8! pl-7" />
        </div>
        <Menu
          label="New" trigger={<Button small look="quiet" aria-label="New file or folder"><Plus size={16} /></Button>}
          items={[
            { label: "New file", icon: FilePlus, onSelect: () => setAsked({ what: "file", folder: here }) },
            { label: "New folder", icon: FolderPlus, onSelect: () => setAsked({ what: "folder", folder: here }) },
          ]}
        />
        <Menu
          label="Upload" trigger={<Button small look="quiet" aria-label="Upload"><Upload size={16} /></Button>}
          items={[
            { label: "Upload files", icon: Upload, onSelect: () => pick(filesInput.current, here) },
            { label: "Upload a folder", icon: FolderUp, onSelect: () => pick(folderInput.current, here) },
          ]}
        />
        <IconButton small label="Export all as zip" onClick={() => transfer.run("Export", (signal, tell) => exportFiles(sessionId, [], signal, tell))}><Archive size={16} /></IconButton>
        <IconButton small label="Close all folders" onClick={() => setOpen(new Set())}><ChevronsDownUp size={16} /></IconButton>
        <IconButton small label="Refresh" onClick={changed}><RefreshCw size={15} className={cx(tree.isFetching && "animate-spin")} /></IconButton>
        <input ref={filesInput} type="file" multiple hidden aria-label="Files to upload" onChange={(e) => { upload(chosen(e.target.files ?? [], target.current)); e.target.value = ""; }} />
        <input ref={(el) => { folderInput.current = el; if (el) el.webkitdirectory = true; }} type="file" hidden aria-label="Folder to upload" onChange={(e) => { upload(chosen(e.target.files ?? [], target.current)); e.target.value = ""; }} />
      </div>

      <div className="min-h-0 flex-1">
        {tree.error && !tree.data ? <ProblemNotice className="m-2" error={tree.error} action={<Button small onClick={() => void tree.refetch()}>Try again</Button>} />
          : !root ? <div className="flex flex-col gap-2 p-3">{[60, 45, 70, 38, 52].map((w) => <div key={w} style={{ width: `${w}%` }}><Skeleton className="h-5" /></div>)}</div>
          : (root.children ?? []).length === 0 ? (
            <div className="h-full" ref={dropOnEmpty}>
              <Empty icon={FolderUp} title="The workspace is empty">
                <p>Ask the agent to write something, or drop files and folders here.</p>
                <Button small className="mt-3" onClick={() => pick(filesInput.current, "")}><Upload size={14} aria-hidden />Upload files</Button>
              </Empty>
            </div>
          ) : rows.length === 0 ? <Empty icon={Search} title="No file is called so"><p>The search looks at names; with a slash in it, at whole paths.</p></Empty>
          : (
            <ContextMenu.Root>
              <ContextMenu.Trigger asChild>
                <div className="h-full">
                  <FileTree
                    rows={rows} marks={marks} selected={selected} unsaved={unsaved} active={active} startAt={startAt} onActive={setActive} onSelect={setSelected}
                    onOpen={setFolder} onFile={(r) => openFile(r.key)} onScroll={(top) => { scroll.current = top; }}
                    onRename={(r) => { if (!r.node.path_bytes) setAsked({ what: "rename", row: r }); }}
                    onDelete={(r) => setAsked({ what: "delete", rows: tops(selected.has(r.key) ? chosenRows : [r]) })}
                    onDrop={(data, folder) => { void dropped(data, folder).then(upload, toastProblem); }}
                  />
                </div>
              </ContextMenu.Trigger>
              {actions.length > 0 ? <RowMenu items={actions} label={`Actions for ${visible(row?.node.name ?? "")}`} /> : null}
            </ContextMenu.Root>
          )}
      </div>

      {selected.size > 0 ? (
        <div className="flex shrink-0 items-center gap-1 border-t border-line bg-accent-soft px-3 py-1.5 text-xs text-accent-ink">
          <span role="status" className="flex-1 font-medium">{selected.size} selected</span>
          <Button small look="quiet" onClick={() => saveRows(tops(rows.filter((r) => selected.has(r.key))))}><Download size={14} aria-hidden />Export</Button>
          <Button small look="quiet" onClick={() => setAsked({ what: "delete", rows: tops(rows.filter((r) => selected.has(r.key))) })}><Trash2 size={14} aria-hidden />Delete</Button>
          <IconButton small label="Select nothing" onClick={() => setSelected(new Set())}><X size={14} /></IconButton>
        </div>
      ) : null}
      {transfer.now ? (
        <Bar label={transfer.now.label} value={transfer.now.got} total={transfer.now.total}>
          <span role="status" className="min-w-0 flex-1 truncate">{visible(transfer.now.label)}: {bytes(transfer.now.got)}{transfer.now.total ? ` of ${bytes(transfer.now.total)}` : ""}</span>
          <Button small onClick={transfer.cancel}>Cancel</Button>
        </Bar>
      ) : null}
      <UploadBar progress={progress} uploads={uploads} />
      <p className="shrink-0 border-t border-line px-3 py-1 text-xs text-ink-3" role="status">
        {found ? `${found.hits} found` : `${tree.data?.total_files ?? 0} files`}
        {tree.data?.truncated ? ", and more than can be listed" : ""}{marks.size > 0 ? `, ${changes.data?.total ?? 0} changed since the last turn began` : ""}
      </p>

      {asked?.what === "file" || asked?.what === "folder" ? (
        <PathDialog
          title={asked.what === "file" ? "New file" : "New folder"} action="Create" start={asked.folder ? join(asked.folder, "") : ""}
          onClose={() => setAsked(undefined)} onPath={(path) => create(asked.what, path)}
        />
      ) : null}
      {asked?.what === "rename" ? (
        <PathDialog title={`Rename ${visible(asked.row.node.name)}`} action="Rename" start={asked.row.node.path} onClose={() => setAsked(undefined)} onPath={(path) => rename(asked.row, path)} />
      ) : null}
      {asked?.what === "delete" && asked.rows.length > 0 ? (
        <DeleteDialog paths={asked.rows.map((r) => r.node.path)} folders={asked.rows.filter((r) => isFolder(r.node)).length} onClose={() => setAsked(undefined)} onDelete={() => remove(asked.rows)} />
      ) : null}
      {!progress.running && progress.exists.length > 0 ? <ReplaceDialog exists={progress.exists} onAnswer={(replace) => uploads.answer(replace)} /> : null}
    </div>
  );
}

function RowMenu({ items, label }: { items: (MenuItem | null)[]; label: string }) {
  return (
    <ContextMenu.Portal>
      <ContextMenu.Content aria-label={label} collisionPadding={8} className="z-50 min-w-44 rounded-lg border border-line bg-raised p-1 shadow-xl">
        {items.map((item, i) => item === null
          ? <ContextMenu.Separator key={i} className="my-1 h-px bg-line" />
          : (
            <ContextMenu.Item
              key={item.label} disabled={item.disabled === true} onSelect={item.onSelect}
              className={cx("flex h-8 cursor-pointer items-center gap-2 rounded px-2 text-sm outline-none data-[disabled]:cursor-not-allowed data-[disabled]:opacity-50 data-[highlighted]:bg-sunken", item.danger && "text-bad")}
            >
              {item.icon ? <item.icon size={15} aria-hidden /> : null}
              <span className="flex-1">{item.label}</span>
              {item.hint ? <kbd className="text-xs text-ink-3">{item.hint}</kbd> : null}
            </ContextMenu.Item>
          ))}
      </ContextMenu.Content>
    </ContextMenu.Portal>
  );
}
