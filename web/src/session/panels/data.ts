import { queryOptions, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { request } from "@/api/client";
import { queryClient } from "@/app/queries";
import type { Changes, FileChange, Session, Tree } from "./types";
import { segmentOf } from "./address";

/** The JSON that a route answers with. */
export async function getJSON<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await request(path, { headers: { Accept: "application/json" }, ...(signal ? { signal } : {}) });
  return await response.json() as T;
}

/** Sends JSON and returns what comes back; undefined for 204. */
export async function sendJSON<T>(method: string, path: string, body: unknown): Promise<T> {
  const response = await request(path, { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  return (response.status === 204 ? undefined : await response.json()) as T;
}

// All that depends on the workspace begins with this key: it is invalidated after tool results and at the end of turns.
export function filesKey(sessionId: string) { return ["session", sessionId, "files"] as const; }

function treeOf(sessionId: string) {
  return queryOptions({
    queryKey: [...filesKey(sessionId), "tree"],
    queryFn: ({ signal }) => getJSON<Tree>(`/api/files/${encodeURIComponent(sessionId)}`, signal),
    // A tree of 10,000 entries is compared by its time, not entry by entry.
    structuralSharing: false,
  });
}

export function useTree(sessionId: string) { return useQuery(treeOf(sessionId)); }

/** Fetches the tree ahead of its first use; a failure shows when it is used. */
export function preloadTree(sessionId: string) { queryClient.query(treeOf(sessionId)).catch(() => undefined); }

export function useChanges(sessionId: string, since: string) {
  return useQuery({
    queryKey: [...filesKey(sessionId), "changes", since],
    queryFn: ({ signal }) => getJSON<Changes>(`/api/files/${encodeURIComponent(sessionId)}/changes?since=${encodeURIComponent(since)}`, signal),
  });
}

export function useFileChange(sessionId: string, since: string, path: string | undefined) {
  return useQuery({
    queryKey: [...filesKey(sessionId), "changes", since, path],
    enabled: path !== undefined,
    queryFn: ({ signal }) => getJSON<FileChange>(
      `/api/files/${encodeURIComponent(sessionId)}/changes/${segmentOf(path ?? "")}?since=${encodeURIComponent(since)}`, signal),
  });
}

export function useSession(sessionId: string) {
  return useQuery({
    queryKey: ["session", sessionId, "details"],
    queryFn: ({ signal }) => getJSON<Session>(`/api/agents/sessions/${encodeURIComponent(sessionId)}`, signal),
    refetchInterval: 10_000,
  });
}

/** Asks again for all that shows the workspace. */
export function useFilesChanged(sessionId: string): () => void {
  const client = useQueryClient();
  return () => { void client.invalidateQueries({ queryKey: filesKey(sessionId) }); };
}

/** The file that the address names, and how to show another (in the viewer) or none. */
export function useOpenFile() {
  const search: { file?: string } = useSearch({ strict: false });
  const navigate = useNavigate();
  return {
    file: search.file,
    open: (file: string, panel = "viewer") => {
      void navigate({ to: ".", search: (old: Record<string, unknown>) => ({ ...old, panel, file }) });
    },
    close: () => {
      void navigate({ to: ".", search: (old: Record<string, unknown>) => {
        const next: Record<string, unknown> = { ...old, panel: "files" };
        delete next.file;
        return next;
      } });
    },
  };
}
