import { request } from "@/api/client";
import { asProblem, type Problem } from "@/api/problem";
import { SseParser } from "./sse";
import type { Event } from "./types";

/** How it stands with the stream of a session's events. */
export type Connection =
  | { state: "connecting" }
  | { state: "live" }
  /** Lost; since and the next try are in milliseconds since 1970. away: the host can't be reached at all. */
  | { state: "reconnecting"; since: number; next: number; away: boolean }
  /** The session was stopped: nothing more will come. */
  | { state: "ended" }
  /** The host refuses: no key (401), another key's session (403), no such session (404). */
  | { state: "refused"; problem: Problem };

/**
 * What the stream tells. last says from where to go on; taking events may throw, which breaks the connection and begins again from last.
 * caughtUp says that what had happened before the connection is there.
 */
export interface Receiver {
  last: () => number;
  events: (batch: Event[]) => void;
  caughtUp: () => void;
  connection: (now: Connection) => void;
}

/** Silence in milliseconds after which a connection counts as lost; the host says something every 10 s unless it was told otherwise. */
const silence = 45_000;
const firstDelay = 400;
const longestDelay = 10_000;

/**
 * Follows the events of a session until stop is called, the session ends or the host refuses. It resumes with Last-Event-ID, waits longer
 * after every failure in a row (0.4 to 10 s), and tries at once when the browser comes online or the page is looked at again.
 */
export function follow(sessionId: string, to: Receiver): () => void {
  const over = new AbortController();
  let wake: () => void = () => undefined;
  const now = () => wake();
  window.addEventListener("online", now);
  document.addEventListener("visibilitychange", now);

  const stopped = () => over.signal.aborted;

  const run = async () => {
    let failures = 0;
    let since = 0;
    while (!stopped()) {
      let away = false;
      try {
        const ended = await read(sessionId, to, over.signal, () => { failures = 0; since = 0; });
        if (ended) { to.connection({ state: "ended" }); return; }
      } catch (error) {
        if (stopped()) return;
        const problem = asProblem(error);
        if (problem.status >= 400 && problem.status < 500 && problem.status !== 408 && problem.status !== 429) {
          to.connection({ state: "refused", problem });
          return;
        }
        away = error instanceof TypeError;
      }
      since ||= Date.now();
      const delay = Math.min(longestDelay, firstDelay * 2 ** failures++) * (0.75 + Math.random() / 2);
      to.connection({ state: "reconnecting", since, next: Date.now() + delay, away });
      await new Promise<void>((done) => {
        const timer = setTimeout(done, delay);
        wake = () => { clearTimeout(timer); done(); };
        over.signal.addEventListener("abort", wake, { once: true });
      });
      wake = () => undefined;
    }
  };
  void run();
  return () => {
    over.abort();
    window.removeEventListener("online", now);
    document.removeEventListener("visibilitychange", now);
  };
}

/** Reads one connection to its end. True when the host says that nothing more will come. */
async function read(sessionId: string, to: Receiver, stop: AbortSignal, onOpen: () => void): Promise<boolean> {
  const connection = new AbortController();
  const signal = AbortSignal.any([stop, connection.signal]);
  const last = to.last();
  let quiet: ReturnType<typeof setTimeout> | undefined;
  const heard = () => {
    clearTimeout(quiet);
    quiet = setTimeout(() => connection.abort(new Error("the stream fell silent")), silence);
  };
  heard();
  try {
    const response = await request(`/api/agents/${encodeURIComponent(sessionId)}/events?deltas=true`, {
      signal, headers: { Accept: "text/event-stream", ...(last > 0 ? { "Last-Event-ID": String(last) } : {}) },
    });
    if (!response.body) throw new Error("the answer has no body");
    onOpen();
    to.connection({ state: "live" });
    const parser = new SseParser();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return false;
      heard();
      let batch: Event[] = [];
      let ended = false;
      for (const { data, comment } of parser.feed(value)) {
        if (data === "[DONE]") ended = true;
        else if (data) batch.push(JSON.parse(data) as Event);
        else if (comment === "caught up") {
          if (batch.length > 0) to.events(batch);
          batch = [];
          to.caughtUp();
        }
      }
      if (batch.length > 0) to.events(batch);
      if (ended) return true;
    }
  } finally {
    clearTimeout(quiet);
    connection.abort();
  }
}
