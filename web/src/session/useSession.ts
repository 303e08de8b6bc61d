import { useEffect, useSyncExternalStore } from "react";
import { queryClient } from "@/app/queries";
import { currentKey, useKey } from "@/app/key";
import type { ToolCall } from "./conversation/model";
import { type SessionState, SessionStore } from "./store";

interface Held {
  store: SessionStore;
  users: number;
  /** The key with which it follows the events already, for the page that is about to come; "" when it does not. */
  ahead: string;
  closing: ReturnType<typeof setTimeout> | undefined;
}

const held = new Map<string, Held>();
/** Milliseconds for which a session that nobody looks at any more is kept: moving between pages must not read it again. */
const keep = 10_000;

/** The one store of a session. It follows the events while a page that called useFollow is mounted. */
export function storeOf(id: string): SessionStore {
  return hold(id).store;
}

function hold(id: string): Held {
  let it = held.get(id);
  if (!it) held.set(id, it = { store: new SessionStore(id, queryClient), users: 0, ahead: "", closing: undefined });
  return it;
}

function closeLater(id: string, it: Held) {
  it.closing = setTimeout(() => { it.store.close(); held.delete(id); }, keep);
}

/** Milliseconds for which a page is not drawn while its history may still come: it would only show that it waits. */
const patience = 200;

/** Begins to follow a session whose page is about to be drawn. It ends when what had happened is there to be drawn, or does not come soon. */
export async function followAhead(id: string): Promise<void> {
  const key = currentKey();
  if (!key || held.has(id)) return;
  const it = hold(id);
  it.ahead = key;
  it.store.open();
  closeLater(id, it);
  await Promise.race([it.store.told(), new Promise((go) => { setTimeout(go, patience); })]);
}

/** Follows a session's events while mounted; begins again with another key. */
export function useFollow(id: string) {
  const key = useKey();
  useEffect(() => {
    const it = hold(id);
    clearTimeout(it.closing);
    it.users++;
    if (it.users === 1 && it.ahead !== key) it.store.open();
    it.ahead = "";
    return () => {
      it.users--;
      if (it.users === 0) closeLater(id, it);
    };
  }, [id, key]);
}

/**
 * What select picks of a session's state; a change of anything else renders nothing. select must give the same value for the same state: pick
 * fields, don't build objects.
 */
export function useSession<T>(id: string, select: (state: SessionState) => T): T {
  const store = storeOf(id);
  return useSyncExternalStore(store.subscribe, () => select(store.get()));
}

/** One tool call; undefined when there is none of this id. */
export function useToolCall(id: string, call: string): ToolCall | undefined {
  const store = storeOf(id);
  return useSyncExternalStore(store.subscribe, () => store.call(call));
}
