import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, request } from "@/api/client";
import { useKey } from "@/app/key";
import { toastProblem } from "@/ui/toast";
import type { Command, SessionDetail } from "./types";

/** The session as the host describes it; asked again at the end of every turn. */
export function useSessionDetail(id: string) {
  const key = useKey();
  return useQuery({
    queryKey: ["session", id], enabled: key !== "",
    queryFn: async ({ signal }) => (await api.GET("/api/agents/sessions/{session_id}", { params: { path: { session_id: id } }, signal })).data as SessionDetail,
  });
}

/** Changes the model or the permission mode; a running turn goes on with them. */
export function useChangeSettings(id: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async (change: { model?: string; permission_mode?: string }) => {
      const answer = await request(`/api/agents/sessions/${encodeURIComponent(id)}`, {
        method: "PATCH", headers: { "Content-Type": "application/json" }, body: JSON.stringify(change),
      });
      return (await answer.json()) as SessionDetail;
    },
    onSuccess: (session) => { queries.setQueryData(["session", id], session); },
    onError: toastProblem,
  });
}

/** The slash commands that the agent offers; none before its first turn. */
export function useCommands(id: string, enabled: boolean) {
  return useQuery({
    queryKey: ["session", id, "commands"], enabled, staleTime: 60_000,
    queryFn: async ({ signal }) => {
      const answer = await request(`/api/agents/${encodeURIComponent(id)}/commands`, { signal });
      return ((await answer.json()) as { commands: Command[] | null }).commands ?? [];
    },
  });
}

export function useInterrupt(id: string) {
  return useMutation({
    mutationFn: async () => { await api.POST("/api/agents/sessions/{session_id}/interrupt", { params: { path: { session_id: id } } }); },
    onError: toastProblem,
  });
}

export function useStop(id: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async () => { await api.DELETE("/api/agents/sessions/{session_id}", { params: { path: { session_id: id } } }); },
    onSuccess: () => { void queries.invalidateQueries({ queryKey: ["sessions"] }); },
    onError: toastProblem,
  });
}

export interface Answer { ask: string; decision: "allow" | "deny"; scope: "once" | "session"; reason?: string }

export function useAnswer(id: string) {
  return useMutation({
    mutationFn: async ({ ask, ...body }: Answer) => {
      await api.POST("/api/agents/{session_id}/approvals/{ask}", { params: { path: { session_id: id, ask } }, body });
    },
    onError: toastProblem,
  });
}

/**
 * Sends a message. It resolves as soon as the host has kept it: what comes of it is read from the session's events, so the answer's stream is
 * let go.
 */
export async function send(id: string, message: string): Promise<void> {
  const answer = await request(`/api/agents/${encodeURIComponent(id)}/chat`, {
    method: "POST", headers: { "Content-Type": "application/json", Accept: "text/event-stream" }, body: JSON.stringify({ message }),
  });
  await answer.body?.cancel();
}
