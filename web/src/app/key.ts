import { useSyncExternalStore } from "react";

/*
 * The Anthropic key lives in this page's memory. It goes to session storage (gone with the tab) only when the person asks for it, and
 * never to local storage. A second tab asks the first one for it over a BroadcastChannel, which does not leave this origin and browser.
 */
const slot = "agcluster.key";
const listeners = new Set<() => void>();
let key = read();

function read(): string {
  try { return sessionStorage.getItem(slot) ?? ""; } catch { return ""; }
}

const channel = typeof BroadcastChannel === "undefined" ? undefined : new BroadcastChannel("agcluster.key");
channel?.addEventListener("message", (e: MessageEvent<{ ask?: boolean; key?: string }>) => {
  if (e.data.ask && key) channel.postMessage({ key });
  if (e.data.key && !key) hold(e.data.key);
});
if (!key) channel?.postMessage({ ask: true });

function hold(next: string) {
  key = next;
  listeners.forEach((fn) => fn());
}

/** Takes a key. remember keeps it over a reload, until the tab is closed. */
export function setKey(next: string, remember: boolean) {
  try {
    if (remember && next) sessionStorage.setItem(slot, next);
    else sessionStorage.removeItem(slot);
  } catch { /* it holds for this page */ }
  hold(next);
}

/** Forgets the key in this tab. */
export function forgetKey() { setKey("", false); }

export function currentKey(): string { return key; }

export function isRemembered(): boolean { return read() !== ""; }

/** A made-up key for a host with the offline model: it tells one person's sessions from another's and opens nothing else. */
export function trialKey(): string { return `trial-${crypto.randomUUID()}`; }

export function useKey(): string {
  return useSyncExternalStore((fn) => { listeners.add(fn); return () => { listeners.delete(fn); }; }, () => key);
}
