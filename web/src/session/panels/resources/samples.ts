import { useEffect, useSyncExternalStore } from "react";
import { asProblem, Problem } from "@/api/problem";
import { follow } from "../sse";
import type { Resources } from "../types";

/** How many measurements are kept: half an hour at one every two seconds. */
export const maxSamples = 900;

export interface Watched { samples: readonly Resources[]; live: boolean; problem: Problem | undefined }

/** Watches what a session uses while somebody looks, and keeps what it has seen for the next look. */
class Watch {
  readonly #path: string;
  readonly #listeners = new Set<() => void>();
  #shown: Watched = { samples: [], live: false, problem: undefined };
  #lookers = 0;
  #stop: AbortController | undefined;

  constructor(sessionId: string) { this.#path = `/api/agents/${encodeURIComponent(sessionId)}/resources?interval=2s`; }

  subscribe = (fn: () => void) => { this.#listeners.add(fn); return () => { this.#listeners.delete(fn); }; };
  snapshot = () => this.#shown;

  look = (): (() => void) => {
    if (this.#lookers++ === 0) {
      this.#stop = new AbortController();
      void this.#run(this.#stop.signal);
    }
    return () => { if (--this.#lookers === 0) this.#stop?.abort(); };
  };

  #show(to: Partial<Watched>) {
    this.#shown = { ...this.#shown, ...to };
    this.#listeners.forEach((fn) => fn());
  }

  async #run(signal: AbortSignal) {
    const left = () => signal.aborted;
    while (!left()) {
      try {
        await follow(this.#path, signal, (data) => {
          const sample = JSON.parse(data) as Resources;
          this.#show({ samples: [...this.#shown.samples.slice(1 - maxSamples), sample], live: true, problem: undefined });
        });
        this.#show({ live: false });
      } catch (error) {
        if (left()) break;
        const problem = asProblem(error);
        this.#show({ live: false, problem });
        // A refusal stays one; anything else may pass.
        if (problem.status >= 400 && problem.status < 500) return;
      }
      await new Promise<void>((go) => {
        const timer = setTimeout(go, 5_000);
        signal.addEventListener("abort", () => { clearTimeout(timer); go(); }, { once: true });
      });
    }
    this.#show({ live: false });
  }
}

const watches = new Map<string, Watch>();

export function useResources(sessionId: string): Watched {
  let watch = watches.get(sessionId);
  if (!watch) watches.set(sessionId, watch = new Watch(sessionId));
  const { look, subscribe, snapshot } = watch;
  useEffect(() => look(), [look]);
  return useSyncExternalStore(subscribe, snapshot);
}
