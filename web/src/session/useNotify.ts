import { useEffect, useState } from "react";
import { toast } from "@/ui/toast";
import { storeOf } from "./useSession";

/** Whether this browser can show notifications, and may. It is only ever asked by a button. */
export function useNotifyPermission() {
  const can = "Notification" in window;
  const [permission, setPermission] = useState<NotificationPermission>(can ? Notification.permission : "denied");
  const ask = async () => {
    if (!can) { toast("This browser shows no notifications here. They need https or localhost.", "bad"); return; }
    const next = await Notification.requestPermission();
    setPermission(next);
    toast(next === "granted" ? "You are told when this session waits for you or ends a turn while its tab is hidden." : "The browser does not allow notifications for this site.", next === "granted" ? "plain" : "bad");
  };
  return { can, permission, ask };
}

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
      if (!was.opened || !document.hidden || !("Notification" in window) || Notification.permission !== "granted") return;
      const asked = now.approvals.find((a) => !was.approvals.includes(a));
      const text = asked ? `Waits for you: ${asked.tool} ${asked.input}` : was.running && !now.running ? words[now.lastComplete] ?? "" : "";
      if (!text) return;
      try {
        const note = new Notification(title, { body: text.slice(0, 200), tag: `agcluster.${sessionId}` });
        note.onclick = () => { window.focus(); note.close(); };
      } catch { /* browsers on phones have the class, but only a service worker may use it */ }
    });
  }, [sessionId, title]);
}
