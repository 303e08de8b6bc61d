import { useSyncExternalStore } from "react";

// One clock for all that count: it ticks while somebody looks at it.
const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;
let now = Date.now();

function subscribe(fn: () => void) {
  listeners.add(fn);
  now = Date.now();
  timer ??= setInterval(() => { now = Date.now(); listeners.forEach((l) => l()); }, 1000);
  return () => {
    listeners.delete(fn);
    if (listeners.size === 0) { clearInterval(timer); timer = undefined; }
  };
}

/** The time in milliseconds since 1970, rounded down to step, so that nothing renders more often than it must. */
export function useNow(step: number): number { return useSyncExternalStore(subscribe, () => Math.floor(now / step) * step); }
