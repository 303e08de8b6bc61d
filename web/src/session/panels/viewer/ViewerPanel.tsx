import { Download, FileSearch, MoreHorizontal, Pencil, TextWrap } from "lucide-react";
import { useMemo, useState } from "react";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { request } from "@/api/client";
import { Button, IconButton } from "@/ui/button";
import { Empty } from "@/ui/empty";
import { bytes } from "@/ui/format";
import { Menu } from "@/ui/menu";
import { loadable } from "@/ui/loadable";
import { Notice, ProblemNotice } from "@/ui/notice";
import { copy } from "../../text/CopyButton";
import { baseName, fileUrl, folderOf, pathOf } from "../address";
import { filesKey, useOpenFile } from "../data";
import { download, useTransfer } from "../files/exports";
import { Name, visible } from "../name";
import type { Preview } from "../types";
import { TextFile } from "./TextFile";
import { useDrafts } from "./drafts";
import { viewsOf, type View } from "./kind";
import { load, type Loaded, maxText } from "./load";
import { TextWaiting } from "./TextWaiting";

const HexView = loadable(() => import("./HexView"), TextWaiting);
const ImageView = loadable(() => import("./ImageView"), TextWaiting);
const Markdown = loadable(() => import("./Markdown"), TextWaiting);
const NotebookView = loadable(() => import("./NotebookView"), TextWaiting);
const PdfView = loadable(() => import("./PdfView"), TextWaiting);
const TableView = loadable(() => import("./TableView"), TextWaiting);

const titles: Record<View, string> = { text: "Text", table: "Table", notebook: "Notebook", markdown: "Preview", svg: "Picture", pdf: "Document", image: "Picture", hex: "Bytes" };
/** The largest PDF that is fetched without being asked, in bytes. */
const maxWhole = 50 * 1024 * 1024;

export default function ViewerPanel({ sessionId }: { sessionId: string }) {
  const { file } = useOpenFile();
  if (file === undefined || file === "") return <Empty icon={FileSearch} title="No file is open"><p>Choose one in Files. The address of the page then names it, so it can be shared.</p></Empty>;
  return <Viewer key={file} sessionId={sessionId} file={file} />;
}

function Viewer({ sessionId, file }: { sessionId: string; file: string }) {
  const { open } = useOpenFile();
  const path = pathOf(file);
  const name = baseName(path);
  const transfer = useTransfer();
  const drafted = useDrafts(sessionId).has(file);
  const [chosen, setChosen] = useState<View | undefined>(drafted ? "text" : undefined);
  const [editing, setEditing] = useState(drafted);
  const [wrap, setWrap] = useState(false);
  const client = useQueryClient();
  const queryKey = [...filesKey(sessionId), "preview", file];
  // Megabytes are compared by their tag (in load), not piece by piece.
  const query = useQuery({ queryKey, structuralSharing: false, queryFn: ({ signal }) => load(sessionId, file, signal, client.getQueryData<Loaded>(queryKey)) });
  const loaded = query.data;
  const views = loaded ? viewsOf(name, loaded.kind === "image" ? "image" : loaded.preview) : [];
  const view = chosen && views.includes(chosen) ? chosen : views[0];
  const preview = loaded?.kind === "file" ? loaded.preview : undefined;
  const locked = preview ? whyLocked(preview) : undefined;
  const save = () => transfer.run(name, (signal, tell) => download(sessionId, file, signal, tell));

  return (
    <div className="flex h-full min-h-0 flex-col">
      <header className="flex shrink-0 items-center gap-1 border-b border-line p-2">
        <h2 className="min-w-0 flex-1 truncate px-1 text-sm font-medium" title={visible(path)}>
          <span className="font-normal text-ink-3"><Name text={folderOf(path) ? `${folderOf(path)}/` : ""} /></span><Name text={name} />
          {drafted ? <span className="ml-2 text-xs text-accent-ink">unsaved</span> : null}
        </h2>
        {views.length > 1 ? (
          <div role="group" aria-label="Show as" className="flex rounded-md border border-line-strong p-0.5">
            {views.map((v) => (
              <button key={v} type="button" aria-pressed={v === view} onClick={() => setChosen(v)} className="h-6 rounded px-2 text-xs text-ink-2 aria-pressed:bg-accent-soft aria-pressed:text-accent-ink">{titles[v]}</button>
            ))}
          </div>
        ) : null}
        {view === "text" ? <IconButton small label="Wrap long lines" aria-pressed={wrap} onClick={() => setWrap(!wrap)} className="aria-pressed:bg-accent-soft!"><TextWrap size={15} /></IconButton> : null}
        {preview?.type === "text" && !editing ? (
          <Button small disabled={locked !== undefined} title={locked} onClick={() => { setChosen("text"); setEditing(true); }}><Pencil size={13} aria-hidden />Edit</Button>
        ) : null}
        <Menu
          label="More" trigger={<Button small look="quiet" aria-label="More" className="w-7 px-0!"><MoreHorizontal size={16} /></Button>}
          items={[
            { label: "Download", icon: Download, onSelect: save },
            { label: "Copy path", onSelect: () => { void copy(path, "the path"); } },
            ...(preview?.content === undefined ? [] : [{ label: "Copy text", onSelect: () => { void copy(preview.content ?? "", "the text"); } }]),
          ]}
        />
      </header>
      {preview?.truncated ? (
        <Notice className="m-2" action={<Button small onClick={save}><Download size={13} aria-hidden />Download</Button>}>
          The file has {bytes(preview.size_bytes)}; this is its beginning, {preview.lines} lines. {preview.size_bytes > maxText ? `Texts up to ${bytes(maxText)} can be edited here.` : "Further on it is no text, so it can't be edited here."}
        </Notice>
      ) : null}
      <div className="min-h-0 flex-1">
        {query.error ? <ProblemNotice className="m-2" error={query.error} action={<Button small onClick={() => void query.refetch()}>Try again</Button>} /> : null}
        {!loaded && !query.error ? <TextWaiting /> : null}
        {loaded ? (
          <>
            {loaded.kind === "image" ? <ImageView blob={loaded.blob} alt={visible(name)} /> : null}
            {preview && view === "text" ? <TextFile sessionId={sessionId} file={file} name={name} preview={preview} etag={loaded.etag} editing={editing && locked === undefined} wrap={wrap} onDone={() => setEditing(false)} /> : null}
            {preview && view === "table" ? <TableView text={preview.content ?? ""} truncated={preview.truncated === true} /> : null}
            {preview && view === "notebook" ? <NotebookView text={preview.content ?? ""} path={path} onFile={open} /> : null}
            {preview && view === "markdown" ? <div className="h-full overflow-auto p-4"><Markdown text={preview.content ?? ""} path={path} onFile={open} /></div> : null}
            {preview && view === "svg" ? <Svg text={preview.content ?? ""} name={name} /> : null}
            {preview && view === "pdf" ? <Pdf sessionId={sessionId} file={file} name={visible(name)} etag={loaded.etag} size={preview.size_bytes} onDownload={save} /> : null}
            {preview && view === "hex" ? <Bytes sessionId={sessionId} file={file} etag={loaded.etag} size={preview.size_bytes} /> : null}
          </>
        ) : null}
      </div>
      <footer className="flex shrink-0 gap-3 overflow-x-auto border-t border-line px-3 py-1 text-xs whitespace-nowrap text-ink-3">
        {preview ? <span>{bytes(preview.size_bytes)}</span> : loaded?.kind === "image" ? <span>{bytes(loaded.blob.size)}</span> : <span>&nbsp;</span>}
        {preview?.lines === undefined ? null : <span>{preview.lines} {preview.lines === 1 ? "line" : "lines"}{preview.truncated ? " shown" : ""}</span>}
        {preview?.language ? <span>{preview.language}</span> : null}
        {preview?.encoding && preview.encoding !== "utf-8" ? <span>{preview.encoding}</span> : null}
        {preview?.type === "binary" ? <span>{preview.media_type}</span> : null}
        {locked ? <span className="text-warn">{locked}</span> : null}
        {transfer.now ? <span role="status" className="ml-auto">Downloading {bytes(transfer.now.got)} <button type="button" className="underline" onClick={transfer.cancel}>Cancel</button></span> : null}
      </footer>
    </div>
  );
}

/** Why a text can't be edited here; undefined when it can. */
function whyLocked(preview: Preview): string | undefined {
  if (preview.type !== "text") return undefined;
  if (preview.truncated) return preview.size_bytes > maxText ? "Too large to edit here" : "Read-only: not a text to its end";
  if (preview.encoding?.startsWith("utf-16")) return `Read-only: ${preview.encoding} can't be written here`;
  return undefined;
}

function Svg({ text, name }: { text: string; name: string }) {
  const blob = useMemo(() => new Blob([text], { type: "image/svg+xml" }), [text]);
  return <ImageView blob={blob} alt={visible(name)} />;
}

function Pdf({ sessionId, file, name, etag, size, onDownload }: { sessionId: string; file: string; name: string; etag: string; size: number; onDownload: () => void }) {
  const fits = size <= maxWhole;
  const query = useQuery({
    queryKey: [...filesKey(sessionId), "bytes", file, etag], enabled: fits, structuralSharing: false,
    queryFn: async ({ signal }) => (await request(`${fileUrl(sessionId, file)}?raw=true`, { signal })).arrayBuffer(),
  });
  if (!fits) return <Notice className="m-2" action={<Button small onClick={onDownload}>Download</Button>}>The file has {bytes(size)}: too large to show here.</Notice>;
  if (query.error) return <ProblemNotice className="m-2" error={query.error} />;
  return query.data ? <PdfView data={query.data} name={name} /> : <TextWaiting />;
}

function Bytes({ sessionId, file, etag, size }: { sessionId: string; file: string; etag: string; size: number }) {
  const query = useQuery({
    queryKey: [...filesKey(sessionId), "head", file, etag], structuralSharing: false,
    queryFn: async ({ signal }) => (size === 0 ? new Uint8Array() : new Uint8Array(await (await request(`${fileUrl(sessionId, file)}?raw=true`, { signal, headers: { Range: "bytes=0-4095" } })).arrayBuffer())),
  });
  if (query.error) return <ProblemNotice className="m-2" error={query.error} />;
  return query.data ? <HexView head={query.data.subarray(0, 4096)} size={size} /> : <TextWaiting />;
}

