import { useState } from "react";
import { toast } from "@/ui/toast";

/** Whether this browser can show notifications, and may. It is only ever asked by a button. */
export function useNotifyPermission() {
  const can = "Notification" in window;
  const [permission, setPermission] = useState<NotificationPermission>(can ? Notification.permission : "denied");
  const ask = async () => {
    if (!can) { toast("This browser shows no notifications here. They need https or localhost.", "bad"); return; }
    const next = await Notification.requestPermission();
    setPermission(next);
    toast(next === "granted" ? "You are told when a session waits for you or ends a turn while its tab is hidden." : "The browser does not allow notifications for this site.", next === "granted" ? "plain" : "bad");
  };
  return { can, permission, ask };
}

/** Tells of a session while the page is hidden; a click leads to it. Two tabs that tell of the same session show one notification. */
export function notify(sessionId: string, title: string, body: string, onClick?: () => void) {
  if (!document.hidden || !("Notification" in window) || Notification.permission !== "granted") return;
  try {
    const note = new Notification(title, { body: body.slice(0, 200), tag: `agcluster.${sessionId}` });
    note.onclick = () => {
      window.focus();
      onClick?.();
      note.close();
    };
  } catch { /* browsers on phones have the class, but only a service worker may use it */ }
}
