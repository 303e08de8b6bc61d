import { useQueryClient } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { asProblem } from "@/api/problem";
import { bytes } from "@/ui/format";
import { toast, toastProblem } from "@/ui/toast";
import { fileUrl } from "../panels/address";
import { maxFile } from "../panels/files/uploads";
import { put } from "../panels/transfer";
import { mention } from "./complete";

/** Where attachments go in the workspace, and how many a message may have at once. */
const folder = "uploads";
const maxFiles = 50;
/** How many other names are tried when one is taken: pasted pictures are all called image.png. */
const maxNames = 50;

/** The bytes that have gone and all of them. */
export interface Attaching { sent: number; total: number }

/**
 * Puts files into the workspace and gives the mentions that tell the agent of them. Nothing that is there is replaced: a taken name gets a number.
 * The upload goes on when the page is left; what was attached until then or until it is cancelled is mentioned.
 */
export function useAttach(sessionId: string, onMentions: (mentions: string) => void) {
  const queries = useQueryClient();
  const [now, setNow] = useState<Attaching>();
  const stop = useRef<AbortController>(null);

  async function add(files: readonly File[]) {
    const large = files.find((f) => f.size > maxFile);
    if (large) { toast(`${large.name} has ${bytes(large.size)}; the limit for a file is ${bytes(maxFile)}.`, "bad"); return; }
    if (files.length > maxFiles) { toast(`${files.length} files are too many: ${maxFiles} can be attached at once.`, "bad"); return; }
    const mine = new AbortController();
    stop.current = mine;
    const total = files.reduce((sum, f) => sum + f.size, 0);
    const done: string[] = [];
    let before = 0;
    setNow({ sent: 0, total });
    try {
      for (const file of files) {
        done.push(await putUnder(sessionId, file, mine.signal, (sent) => { setNow({ sent: before + sent, total }); }));
        before += file.size;
      }
    } catch (error) {
      if (!mine.signal.aborted) toastProblem(error);
    } finally {
      if (stop.current === mine) { stop.current = null; setNow(undefined); }
      if (done.length > 0) {
        onMentions(done.map(mention).join(""));
        void queries.invalidateQueries({ queryKey: ["session", sessionId, "files"] });
      }
    }
  }

  return { now, add: (files: readonly File[]) => { if (!stop.current) void add(files); }, cancel: () => { stop.current?.abort(); } };
}

/** Puts a file under the first name that is free; returns its path. */
async function putUnder(sessionId: string, file: File, signal: AbortSignal, progress: (sent: number) => void): Promise<string> {
  for (let n = 1; ; n++) {
    const path = `${folder}/${numbered(file.name, n)}`;
    try {
      await put(fileUrl(sessionId, path), file, { "Content-Type": "application/octet-stream", "If-None-Match": "*" }, signal, progress);
      return path;
    } catch (error) {
      if (asProblem(error).status !== 412 || n >= maxNames) throw error;
    }
  }
}

/** The name for the nth try: a.png, a-2.png, a-3.png. */
export function numbered(name: string, n: number): string {
  if (n === 1) return name;
  const dot = name.lastIndexOf(".");
  return dot > 0 ? `${name.slice(0, dot)}-${n}${name.slice(dot)}` : `${name}-${n}`;
}
