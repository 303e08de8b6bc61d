import { useEffect, useReducer } from "react";
import { asProblem, type Problem } from "@/api/problem";
import { follow } from "../sse";
import type { LogLine } from "../types";

/** How many lines are kept in the page; the oldest go. */
export const maxLines = 10_000;

export interface Line extends LogLine { n: number }

export interface LogState { lines: readonly Line[]; next: number; state: "waiting" | "live" | "ended" | "failed"; problem: Problem | undefined; round: number }

export type LogAction = { type: "lines"; lines: readonly LogLine[] } | { type: "open" } | { type: "ended" } | { type: "failed"; problem: Problem } | { type: "again" } | { type: "clear" };

export const noLines: LogState = { lines: [], next: 1, state: "waiting", problem: undefined, round: 0 };

export function reduce(s: LogState, a: LogAction): LogState {
  switch (a.type) {
    case "open": return { ...s, state: "live", problem: undefined };
    case "lines": {
      const added = a.lines.map((l, i) => ({ ...l, n: s.next + i }));
      return { ...s, state: "live", lines: [...s.lines, ...added].slice(-maxLines), next: s.next + added.length };
    }
    case "ended": return { ...s, state: "ended" };
    case "failed": return { ...s, state: "failed", problem: a.problem };
    case "again": return { ...noLines, round: s.round + 1 };
    case "clear": return { ...s, lines: [] };
  }
}

/** Follows the lines of a session's agent server. */
export function useLogs(sessionId: string) {
  const [state, send] = useReducer(reduce, noLines);
  useEffect(() => {
    const stop = new AbortController();
    let held: LogLine[] = [];
    let timer = 0;
    // Lines can come by the thousand: they are shown ten times a second.
    const show = () => { timer = 0; if (held.length > 0) send({ type: "lines", lines: held }); held = []; };
    follow(`/api/agents/${encodeURIComponent(sessionId)}/logs?tail=2000`, stop.signal, (data) => {
      held.push(JSON.parse(data) as LogLine);
      if (timer === 0) timer = window.setTimeout(show, 100);
    }).then(
      () => { if (!stop.signal.aborted) { show(); send({ type: "ended" }); } },
      (error: unknown) => { if (!stop.signal.aborted) { show(); send({ type: "failed", problem: asProblem(error) }); } },
    );
    return () => { stop.abort(); window.clearTimeout(timer); };
  }, [sessionId, state.round]);
  return { ...state, again: () => send({ type: "again" }), clear: () => send({ type: "clear" }) };
}

/** A line as it is copied and saved. */
export function lineText(l: LogLine): string { return [l.time, l.stream === "stderr" ? "stderr" : "", l.text].filter(Boolean).join(" "); }

// A line for people as zap writes it: perhaps a time, a level, the message, perhaps its fields as JSON.
const console = /^(?:\S*\d:\S*\s+)?(debug|info|warn|error|fatal)\s+([^{]*?)\s*(\{.*\})?$/i;

/** A line of a server in parts: its level, its message and the rest; undefined for any other text. */
export function structured(text: string): { level: string; message: string; rest: string } | undefined {
  const said = console.exec(text);
  if (said?.[1]) return { level: said[1].toLowerCase(), message: (said[2] ?? "").replaceAll("\t", " "), rest: said[3] ?? "" };
  if (!text.startsWith("{")) return undefined;
  try {
    const { level, msg, ...rest } = JSON.parse(text) as Record<string, unknown>;
    if (typeof level !== "string" || typeof msg !== "string") return undefined;
    const fields = Object.entries(rest).filter(([k]) => k !== "time").map(([k, v]) => `${k}=${typeof v === "string" ? v : JSON.stringify(v)}`);
    return { level, message: msg, rest: fields.join(" ") };
  } catch {
    return undefined;
  }
}
