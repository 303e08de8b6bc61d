import { asProblem } from "@/api/problem";
import { send } from "../detail";

/** A message that waits for the turn to end. turn is the one that ran when it was written. */
export interface Queued { key: number; text: string; turn: number }

/** What a person wrote in this tab and the host does not have yet. A value never changes. */
export interface OutboxState {
  draft: string;
  queue: readonly Queued[];
  /** Nothing is sent by itself until a person says so: the turn was interrupted or failed, the page was loaded anew, or sending failed. */
  held: "" | "interrupted" | "reloaded" | "failed";
  /** Why the last one could not be sent. */
  problem: string;
  /** On its way: shown until its event comes. */
  sending: { text: string; turn: number } | undefined;
}

/** What the outbox has to know of the session. */
export interface Turns { running: boolean; turn: number; lastComplete: string }

const slot = (id: string) => `agcluster.outbox.${id}`;
/** Milliseconds before a message that met a running turn is tried again. */
const again = 1_000;

/**
 * The messages of one session that are still here. The draft and the queue outlive a reload of the tab, but a queue that was loaded is held: a
 * copied tab must not send it a second time.
 */
export class Outbox {
  private state: OutboxState;
  private readonly id: string;
  private readonly deliver: (id: string, text: string) => Promise<void>;
  private readonly listeners = new Set<() => void>();
  private keys = 1;
  private notBefore = 0;

  constructor(id: string, deliver: (id: string, text: string) => Promise<void> = send) {
    this.id = id;
    this.deliver = deliver;
    this.state = { held: "", problem: "", sending: undefined, ...this.load() };
  }

  readonly get = (): OutboxState => this.state;

  readonly subscribe = (fn: () => void): (() => void) => {
    this.listeners.add(fn);
    return () => { this.listeners.delete(fn); };
  };

  write(draft: string) { this.set({ draft }); }

  /** Takes a message: sends it, or puts it into the queue while a turn runs. */
  submit(text: string, turns: Turns) {
    if (!text.trim()) return;
    if (turns.running || this.state.sending || (this.state.queue.length > 0 && !this.state.held)) {
      this.set({ draft: "", queue: [...this.state.queue, { key: this.keys++, text, turn: turns.turn }] });
    } else {
      this.set({ draft: "" });
      void this.go(text, turns.turn);
    }
  }

  /** Sends the next one of the queue when the session is free. Call it when anything changed. */
  pump(turns: Turns) {
    const { queue, sending, held } = this.state;
    if (sending && turns.turn > sending.turn) this.set({ sending: undefined });
    const head = queue[0];
    if (turns.running || this.state.sending || held || !head || Date.now() < this.notBefore) return;
    if (head.turn === turns.turn && (turns.lastComplete === "interrupted" || turns.lastComplete === "failed")) {
      this.set({ held: "interrupted" });
      return;
    }
    this.set({ queue: queue.slice(1) });
    void this.go(head.text, turns.turn);
  }

  remove(key: number) { this.set({ queue: this.state.queue.filter((q) => q.key !== key), ...(this.state.queue.length === 1 ? { held: "", problem: "" } : {}) }); }

  /** Takes a message back into the draft, before what is there. */
  edit(key: number) {
    const it = this.state.queue.find((q) => q.key === key);
    if (!it) return;
    this.remove(key);
    this.set({ draft: this.state.draft.trim() ? `${it.text}\n${this.state.draft}` : it.text });
  }

  /** Lets a held queue go on. */
  release(turns: Turns) {
    this.set({ held: "", problem: "", queue: this.state.queue.map((q) => ({ ...q, turn: -1 })) });
    this.pump(turns);
  }

  private async go(text: string, turn: number) {
    this.set({ sending: { text, turn }, problem: "" });
    try {
      await this.deliver(this.id, text);
    } catch (error) {
      const problem = asProblem(error);
      const back = { key: this.keys++, text, turn: -1 };
      if (problem.status === 409) {
        // Another tab was first: wait for the turn that runs now.
        this.notBefore = Date.now() + again;
        this.set({ sending: undefined, queue: [back, ...this.state.queue] });
        setTimeout(() => { this.set({}); }, again);
      } else {
        this.set({ sending: undefined, held: "failed", problem: problem.status === 0 ? "The host can't be reached." : problem.message, queue: [back, ...this.state.queue] });
      }
    }
  }

  private set(change: Partial<OutboxState>) {
    this.state = { ...this.state, ...change };
    try {
      const { draft, queue } = this.state;
      if (draft || queue.length > 0) sessionStorage.setItem(slot(this.id), JSON.stringify({ draft, queue: queue.map((q) => q.text) }));
      else sessionStorage.removeItem(slot(this.id));
    } catch { /* it holds for this page */ }
    this.listeners.forEach((fn) => fn());
  }

  private load(): Pick<OutboxState, "draft" | "queue"> & Partial<OutboxState> {
    try {
      const was = JSON.parse(sessionStorage.getItem(slot(this.id)) ?? "{}") as { draft?: unknown; queue?: unknown };
      const texts = Array.isArray(was.queue) ? was.queue.filter((t): t is string => typeof t === "string") : [];
      return {
        draft: typeof was.draft === "string" ? was.draft : "", queue: texts.map((text) => ({ key: this.keys++, text, turn: -1 })),
        ...(texts.length > 0 ? { held: "reloaded" as const } : {}),
      };
    } catch {
      return { draft: "", queue: [] };
    }
  }
}
