import { useEffect } from "react";
import { notify } from "@/app/notify";
import { storeOf } from "./useSession";

export { useNotifyPermission } from "@/app/notify";

const words: Record<string, string> = { completed: "The agent is done", interrupted: "The turn was interrupted", failed: "The turn failed", max_turns: "The agent reached its limit of turns" };

/** Tells of approvals and ends of turns while the tab is hidden. */
export function useNotify(sessionId: string, title: string) {
  useEffect(() => {
    const store = storeOf(sessionId);
    let before = store.get();
    return store.subscribe(() => {
      const was = before;
      const now = before = store.get();
      // What had happened before the page was opened is no news.
      if (!was.opened) return;
      const asked = now.approvals.find((a) => !was.approvals.includes(a));
      const text = asked ? `Waits for you: ${asked.tool} ${asked.input}` : was.running && !now.running ? words[now.lastComplete] ?? "" : "";
      if (text) notify(sessionId, title, text);
    });
  }, [sessionId, title]);
}
