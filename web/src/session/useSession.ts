import { useEffect, useSyncExternalStore } from "react";
import { queryClient } from "@/app/queries";
import { useKey } from "@/app/key";
import type { ToolCall } from "./conversation/model";
import { type SessionState, SessionStore } from "./store";

interface Held { store: SessionStore; users: number; closing: ReturnType<typeof setTimeout> | undefined }

const held = new Map<string, Held>();
/** Milliseconds for which a session that nobody looks at any more is kept: moving between pages must not read it again. */
const keep = 10_000;

/** The one store of a session. It follows the events while a page that called useFollow is mounted. */
export function storeOf(id: string): SessionStore {
  let it = held.get(id);
  if (!it) held.set(id, it = { store: new SessionStore(id, queryClient), users: 0, closing: undefined });
  return it.store;
}

/** Follows a session's events while mounted; begins again with another key. */
export function useFollow(id: string) {
  const key = useKey();
  useEffect(() => {
    const store = storeOf(id);
    const it = held.get(id);
    if (!it) return undefined;
    clearTimeout(it.closing);
    it.users++;
    if (it.users === 1) store.open();
    return () => {
      it.users--;
      if (it.users > 0) return;
      it.closing = setTimeout(() => { store.close(); held.delete(id); }, keep);
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
