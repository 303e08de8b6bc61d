import { asProblem } from "@/api/problem";
import { bytes } from "@/ui/format";
import { fileUrl } from "../address";
import { put } from "../transfer";
import { sendJSON } from "../data";

/** The most that the host takes as one file, in bytes. */
export const maxFile = 50 * 1024 * 1024;
const atOnce = 3;

/** Something to be put at path: a file with its content, or a folder that is empty. */
export interface Source { path: string; file?: File }

export interface Upload extends Source {
  state: "waiting" | "sending" | "done" | "failed" | "exists" | "skipped";
  sent: number;
  error?: string;
  replace: boolean;
}

export interface Progress {
  total: number;
  /** Finished in whatever way. */
  ended: number;
  done: number;
  bytes: number;
  sent: number;
  running: boolean;
  /** What is in the way of something else. */
  exists: Upload[];
  failed: Upload[];
}

const nothing: Progress = { total: 0, ended: 0, done: 0, bytes: 0, sent: 0, running: false, exists: [], failed: [] };

/** The uploads into a session. It goes on while no panel shows it; at most three files are sent at once. */
export class Uploads {
  readonly #sessionId: string;
  readonly #listeners = new Set<() => void>();
  #all: Upload[] = [];
  #next = 0;
  #sending = 0;
  #stop = new AbortController();
  #shown = nothing;
  #due = false;

  constructor(sessionId: string) { this.#sessionId = sessionId; }

  subscribe = (fn: () => void) => { this.#listeners.add(fn); return () => { this.#listeners.delete(fn); }; };
  snapshot = (): Progress => this.#shown;

  /** Begins to send. What is there already (as far as is known) waits for answer(). */
  add(sources: readonly Source[], there: (path: string) => boolean) {
    if (!this.#shown.running && this.#shown.exists.length === 0) this.#reset();
    for (const source of sources) {
      const size = source.file?.size ?? 0;
      const tooBig = size > maxFile;
      this.#all.push({
        ...source, sent: 0, replace: false,
        state: tooBig ? "failed" : source.file && there(source.path) ? "exists" : "waiting",
        ...(tooBig ? { error: `It has ${bytes(size)}; the limit for a file is ${bytes(maxFile)}.` } : {}),
      });
    }
    this.#pump();
  }

  /** Says what is to happen with what is there already. */
  answer(replace: boolean) {
    for (const upload of this.#all) {
      if (upload.state !== "exists") continue;
      upload.state = replace ? "waiting" : "skipped";
      upload.replace = replace;
    }
    this.#next = 0;
    this.#pump();
  }

  cancel() {
    this.#stop.abort();
    this.#stop = new AbortController();
    for (const upload of this.#all) if (upload.state === "waiting" || upload.state === "exists") upload.state = "skipped";
    this.#tell();
  }

  /** Forgets what has ended. */
  clear() { if (!this.#shown.running) { this.#reset(); this.#tell(); } }

  #reset() { this.#all = []; this.#next = 0; }

  #pump() {
    while (this.#sending < atOnce) {
      while (this.#next < this.#all.length && this.#all[this.#next]?.state !== "waiting") this.#next++;
      const upload = this.#all[this.#next];
      if (!upload) break;
      this.#sending++;
      upload.state = "sending";
      void this.#send(upload).finally(() => { this.#sending--; this.#pump(); });
    }
    this.#tell();
  }

  async #send(upload: Upload) {
    const { signal } = this.#stop;
    try {
      if (upload.file) {
        const condition: Record<string, string> = upload.replace ? {} : { "If-None-Match": "*" };
        await put(fileUrl(this.#sessionId, upload.path), upload.file, { "Content-Type": "application/octet-stream", ...condition }, signal,
          (sent) => { upload.sent = sent; this.#tell(); });
        upload.sent = upload.file.size;
      } else {
        await sendJSON("POST", `/api/files/${encodeURIComponent(this.#sessionId)}/folders`, { path: upload.path });
      }
      upload.state = "done";
    } catch (error) {
      const problem = asProblem(error);
      if (signal.aborted) upload.state = "skipped";
      else if (problem.status === 412) upload.state = "exists";
      else if (!upload.file && problem.status === 409) upload.state = "done"; // the folder is there
      else { upload.state = "failed"; upload.error = problem.status === 0 ? "The host can't be reached." : problem.message; }
      upload.sent = 0;
    }
  }

  // Progress comes thousands of times a second when there are many small files; a person sees sixty.
  #tell() {
    if (this.#due) return;
    this.#due = true;
    const show = () => {
      this.#due = false;
      this.#shown = this.#count();
      this.#listeners.forEach((fn) => fn());
    };
    if (typeof requestAnimationFrame === "function" && document.visibilityState === "visible") requestAnimationFrame(show);
    else setTimeout(show, 50);
  }

  #count(): Progress {
    const p: Progress = { ...nothing, exists: [], failed: [], total: this.#all.length, running: this.#sending > 0 };
    for (const u of this.#all) {
      p.bytes += u.file?.size ?? 0;
      p.sent += u.state === "skipped" || u.state === "failed" ? u.file?.size ?? 0 : u.sent;
      if (u.state === "exists") p.exists.push(u);
      else if (u.state === "failed") p.failed.push(u);
      else if (u.state === "done") p.done++;
      if (u.state === "done" || u.state === "failed" || u.state === "skipped") p.ended++;
    }
    return p;
  }
}

const bySession = new Map<string, Uploads>();

export function uploadsOf(sessionId: string): Uploads {
  let uploads = bySession.get(sessionId);
  if (!uploads) bySession.set(sessionId, uploads = new Uploads(sessionId));
  return uploads;
}
