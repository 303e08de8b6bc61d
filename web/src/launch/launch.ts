import { request } from "@/api/client";
import { Problem } from "@/api/problem";
import type { Launched, LaunchProgress, LaunchRequest } from "@/app/types";
import { values } from "./stream";

/** Where a launch is: in the queue (from 1), or starting. */
export type Progress = { at: "queued"; position: number } | { at: "starting" };

/** Launches an agent and resolves when it is ready. Aborting it takes the launch back. */
export async function launchAgent(body: LaunchRequest, signal: AbortSignal, progress: (p: Progress) => void): Promise<Launched> {
  const response = await request("/api/agents/launch", {
    method: "POST", signal, headers: { "Content-Type": "application/json", Accept: "text/event-stream" }, body: JSON.stringify(body),
  });
  if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) return (await response.json()) as Launched;
  for await (const news of values<LaunchProgress>(response)) {
    if (news.type === "status" && news.status) {
      progress(news.status.status === "queued" ? { at: "queued", position: news.status.position ?? 1 } : { at: "starting" });
    }
    if (news.type === "launched" && news.session) return news.session;
    if (news.type === "problem") {
      throw new Problem(news.problem?.status ?? 500, news.problem?.detail ?? "The launch failed", news.problem?.errors ?? []);
    }
  }
  throw new Problem(0, "The host went away while it launched; look at your sessions before you try again");
}

/** Sends a message and resolves once the turn has begun; the turn goes on by itself. */
export async function sendFirst(sessionId: string, message: string): Promise<void> {
  const response = await request(`/api/agents/${encodeURIComponent(sessionId)}/chat`, {
    method: "POST", headers: { "Content-Type": "application/json", Accept: "text/event-stream" }, body: JSON.stringify({ message }),
  });
  await response.body?.cancel();
}
