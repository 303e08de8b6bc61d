import { getDocument, GlobalWorkerOptions, type PDFDocumentProxy } from "pdfjs-dist";
import workerUrl from "pdfjs-dist/build/pdf.worker.min.mjs?url";
import { ChevronLeft, ChevronRight, ZoomIn, ZoomOut } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { IconButton } from "@/ui/button";
import { Notice } from "@/ui/notice";
import { Scroll } from "@/ui/scroll";
import { Skeleton } from "@/ui/skeleton";

GlobalWorkerOptions.workerSrc = workerUrl;

const words = (e: unknown) => (e instanceof Error ? e.message : String(e));

function leaving() {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort() };
}

/** A PDF, drawn page by page on a canvas: no form, link or script of it is alive. */
export default function PdfView({ data, name }: { data: ArrayBuffer; name: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [pdf, setPdf] = useState<PDFDocumentProxy>();
  const [page, setPage] = useState(1);
  const [scale, setScale] = useState(1.25);
  const [text, setText] = useState("");
  const [error, setError] = useState("");

  useEffect(() => {
    // pdf.js takes the bytes away to its worker; the cache keeps its own. No eval and no WebAssembly: the page's policy has neither.
    const task = getDocument({ data: data.slice(0), isEvalSupported: false, useWasm: false, enableXfa: false });
    const { signal, abort } = leaving();
    task.promise.then((doc) => { if (!signal.aborted) setPdf(doc); }, (e: unknown) => { if (!signal.aborted) setError(words(e)); });
    return () => { abort(); void task.destroy(); };
  }, [data]);

  useEffect(() => {
    if (!pdf) return undefined;
    const { signal, abort } = leaving();
    void (async () => {
      const sheet = await pdf.getPage(page);
      const to = canvas.current;
      if (signal.aborted || !to) return;
      const ratio = Math.min(2, window.devicePixelRatio || 1);
      const viewport = sheet.getViewport({ scale: scale * ratio });
      to.width = Math.floor(viewport.width);
      to.height = Math.floor(viewport.height);
      to.style.width = `${Math.floor(viewport.width / ratio)}px`;
      const work = sheet.render({ canvas: to, viewport });
      signal.addEventListener("abort", () => work.cancel());
      await work.promise;
      const content = await sheet.getTextContent();
      signal.throwIfAborted();
      setText(content.items.map((i) => ("str" in i ? i.str : "")).join(" "));
    })().catch((e: unknown) => { if (!signal.aborted) setError(words(e)); });
    return abort;
  }, [pdf, page, scale]);

  if (error) return <Notice tone="warn" className="m-3">This PDF can&apos;t be shown ({error}). It can be downloaded.</Notice>;
  return (
    <div className="flex h-full flex-col">
      <div className="flex shrink-0 items-center gap-1 border-b border-line px-2 py-1 text-xs text-ink-2">
        <IconButton small label="Previous page" disabled={page <= 1} onClick={() => setPage(page - 1)}><ChevronLeft size={15} /></IconButton>
        <span className="tabular-nums" role="status">Page {page} of {pdf?.numPages ?? "…"}</span>
        <IconButton small label="Next page" disabled={!pdf || page >= pdf.numPages} onClick={() => setPage(page + 1)}><ChevronRight size={15} /></IconButton>
        <span className="flex-1" />
        <IconButton small label="Zoom out" disabled={scale <= 0.5} onClick={() => setScale(scale / 1.25)}><ZoomOut size={15} /></IconButton>
        <IconButton small label="Zoom in" disabled={scale >= 5} onClick={() => setScale(scale * 1.25)}><ZoomIn size={15} /></IconButton>
      </div>
      <Scroll label="Document" className="min-h-0 flex-1 bg-sunken p-3">
        {pdf ? null : <Skeleton className="mx-auto h-[60vh] w-[80%]" />}
        <div role="img" aria-label={`Page ${page} of ${name}: ${text}`} className={pdf ? "mx-auto w-max" : "hidden"}><canvas ref={canvas} className="bg-white shadow" /></div>
      </Scroll>
    </div>
  );
}
