import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useEffect, useReducer, useState } from "react";
import { request } from "@/api/client";
import { isMissing } from "@/app/catalog";
import { edit, locate, read, rename, type Finding, type Read } from "./document";
import type { Path } from "./path";
import { viewOf, type View } from "./view";

/** What is being built: its text, what it says, and what was saved last. */
export interface Draft {
  text: string;
  saved: string;
  read: Read;
  /** What the form shows: the last text that could be read. */
  view: View;
}

export type Action =
  | { do: "load"; text: string }
  | { do: "text"; text: string }
  | { do: "edit"; path: Path; value: unknown }
  | { do: "rename"; path: Path; to: string }
  | { do: "saved"; text: string };

export function begin(text: string): Draft {
  const now = read(text);
  return { text, saved: text, read: now, view: viewOf(now.value ?? {}) };
}

export function step(draft: Draft, action: Action): Draft {
  switch (action.do) {
    case "load": return begin(action.text);
    case "saved": return { ...draft, saved: action.text };
    case "text": return written(draft, action.text);
    case "edit": return written(draft, edit(draft.text, action.path, action.value));
    case "rename": return written(draft, rename(draft.text, action.path, action.to));
  }
}

function written(draft: Draft, text: string): Draft {
  if (text === draft.text) return draft;
  const now = read(text);
  return { ...draft, text, read: now, view: now.value ? viewOf(now.value) : draft.view };
}

export function useDraft(text: string) { return useReducer(step, text, begin); }

interface Validation { valid: boolean; errors?: { path?: string; message: string; line?: number; column?: number }[] | null }

/** What the host says of a text, and what of it. checked is false while it has not said it of this text, or can't. */
export interface Check { findings: Finding[]; checked: boolean; missing: boolean; error: unknown }

/** Has the host check a text once the person pauses. What can't be read at all is not sent. */
export function useCheck(draft: Draft): Check {
  const text = usePaused(draft.text, 300);
  const readable = draft.read.value !== undefined;
  const { data, error } = useQuery({
    queryKey: ["validate", text], enabled: readable, staleTime: 60_000, gcTime: 60_000, retry: false, placeholderData: keepPreviousData,
    queryFn: async ({ signal }) => {
      const answer = await request("/api/configs/validate", { method: "POST", signal, headers: { "Content-Type": "application/json" }, body: JSON.stringify({ yaml: text }) });
      return { text, findings: findingsOf((await answer.json()) as Validation, text) };
    },
  });
  if (!readable) return { findings: draft.read.findings, checked: false, missing: false, error: null };
  return { findings: data?.findings ?? none, checked: data?.text === draft.text && !error, missing: isMissing(error), error };
}

const none: Finding[] = [];

/** The errors of an answer, each with a line: the host's, or that of its place in the text. */
export function findingsOf(answer: Validation, text: string): Finding[] {
  return (answer.errors ?? []).map(({ path = "", message, line, column }) => {
    const at = line ? { line, column: column ?? 1 } : locate(text, path);
    return { path, message, ...at };
  });
}

/** A value that follows another one once that has stayed the same for a while (ms). */
function usePaused<T>(value: T, pause: number): T {
  const [paused, setPaused] = useState(value);
  useEffect(() => {
    const id = setTimeout(() => setPaused(value), pause);
    return () => clearTimeout(id);
  }, [value, pause]);
  return paused;
}

/** Reads what is wrong at a place, or with deep also anywhere in it. */
export function errorAt(findings: Finding[], place: string, deep: boolean): string | undefined {
  const at = findings.filter((f) => f.path === place || (deep && (f.path.startsWith(`${place}.`) || f.path.startsWith(`${place}[`))));
  return at.length > 0 ? at.map((f) => f.path === place ? f.message : `${f.path.slice(place.length).replace(/^\./, "")}: ${f.message}`).join("; ") : undefined;
}
