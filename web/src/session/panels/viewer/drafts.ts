import { useSyncExternalStore } from "react";

/** Text that a person has changed and not saved. */
export interface Draft {
  text: string;
  /** What the file held when the changes began, and its tag then. */
  base: string;
  etag: string;
}

/*
 * Drafts outlive the viewer: showing another panel, file or page loses nothing. Only leaving the dashboard would, so the browser asks then.
 */
const drafts = new Map<string, Draft>();
const listeners = new Set<() => void>();
const names = new Map<string, ReadonlySet<string>>();
const none: ReadonlySet<string> = new Set();

const slot = (sessionId: string, key: string) => `${sessionId}\n${key}`;

function warn(e: BeforeUnloadEvent) { e.preventDefault(); }

export function draftOf(sessionId: string, key: string): Draft | undefined { return drafts.get(slot(sessionId, key)); }

export function keepDraft(sessionId: string, key: string, draft: Draft | undefined) {
  const at = slot(sessionId, key);
  const had = drafts.has(at);
  if (draft) drafts.set(at, draft);
  else drafts.delete(at);
  if (drafts.size > 0) window.addEventListener("beforeunload", warn);
  else window.removeEventListener("beforeunload", warn);
  // Who lists drafts hears of new ones and of those that go, not of every key press.
  if (had !== (draft !== undefined)) {
    const all = [...drafts.keys()].filter((k) => k.startsWith(`${sessionId}\n`)).map((k) => k.slice(sessionId.length + 1));
    names.set(sessionId, new Set(all));
    listeners.forEach((fn) => fn());
  }
}

const subscribe = (fn: () => void) => { listeners.add(fn); return () => { listeners.delete(fn); }; };

/** The keys of a session's files that have a draft. */
export function useDrafts(sessionId: string): ReadonlySet<string> { return useSyncExternalStore(subscribe, () => names.get(sessionId) ?? none); }
