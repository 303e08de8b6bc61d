import { X } from "lucide-react";
import { useSyncExternalStore } from "react";
import { asProblem } from "@/api/problem";
import { cx } from "./cx";

interface Toast { id: number; text: string; tone: "plain" | "bad" }

let toasts: Toast[] = [];
let next = 1;
const listeners = new Set<() => void>();

function change(to: Toast[]) {
  toasts = to;
  listeners.forEach((fn) => fn());
}

function drop(id: number) { change(toasts.filter((t) => t.id !== id)); }

/** Says something that went well or needs no action; it goes by itself after 5 s (an error after 10 s). */
export function toast(text: string, tone: Toast["tone"] = "plain") {
  const id = next++;
  change([...toasts.slice(-3), { id, text, tone }]);
  setTimeout(() => drop(id), tone === "bad" ? 10_000 : 5_000);
}

/** Says that something failed, in the host's words. */
export function toastProblem(error: unknown) { toast(asProblem(error).message || "The host can't be reached.", "bad"); }

export function Toaster() {
  const shown = useSyncExternalStore((fn) => { listeners.add(fn); return () => { listeners.delete(fn); }; }, () => toasts);
  return (
    <div aria-live="polite" className="pointer-events-none fixed right-3 bottom-16 z-50 flex w-80 max-w-[calc(100vw-1.5rem)] flex-col gap-2 sm:bottom-3">
      {shown.map((t) => (
        <div key={t.id} role={t.tone === "bad" ? "alert" : "status"} className={cx("pointer-events-auto flex items-start gap-2 rounded-lg border border-line bg-raised p-3 text-sm shadow-xl", t.tone === "bad" && "text-bad")}>
          <span className="min-w-0 flex-1 break-words">{t.text}</span>
          <button type="button" aria-label="Dismiss" onClick={() => drop(t.id)} className="text-ink-3 hover:text-ink"><X size={15} /></button>
        </div>
      ))}
    </div>
  );
}
