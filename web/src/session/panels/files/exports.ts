import { useRef, useState } from "react";
import { toast, toastProblem } from "@/ui/toast";
import { baseName, fileUrl, pathOf } from "../address";
import { fetchBlob, save } from "../transfer";

type Tell = (got: number, total: number) => void;

export async function download(sessionId: string, key: string, signal: AbortSignal, tell: Tell): Promise<void> {
  const { blob } = await fetchBlob(`${fileUrl(sessionId, key)}?raw=true`, { signal }, tell);
  save(blob, baseName(pathOf(key)));
}

/** Saves files and folders as a zip; all of the workspace when paths is empty. */
export async function exportFiles(sessionId: string, paths: readonly string[], signal: AbortSignal, tell: Tell): Promise<void> {
  const body = paths.length > 0 ? { body: JSON.stringify({ paths }), headers: { "Content-Type": "application/json" } } : {};
  const { blob, name } = await fetchBlob(`/api/files/${encodeURIComponent(sessionId)}/download`, { method: "POST", signal, ...body }, tell);
  save(blob, name || `${sessionId}.zip`);
  toast(`Exported ${name || "the workspace"}`);
}

export interface Transfer { label: string; got: number; total: number }

/** One download at a time, with how far it is. */
export function useTransfer() {
  const [now, setNow] = useState<Transfer>();
  const stop = useRef<AbortController>(null);
  function run(label: string, work: (signal: AbortSignal, tell: Tell) => Promise<void>) {
    stop.current?.abort();
    const mine = new AbortController();
    stop.current = mine;
    let shown = 0;
    setNow({ label, got: 0, total: 0 });
    work(mine.signal, (got, total) => {
      const time = performance.now();
      if (time - shown < 100) return;
      shown = time;
      setNow({ label, got, total });
    }).catch((error: unknown) => { if (!mine.signal.aborted) toastProblem(error); }).finally(() => { if (stop.current === mine) setNow(undefined); });
  }
  return { now, run, cancel: () => stop.current?.abort() };
}
