import type { QueryClient } from "@tanstack/react-query";
import { type Conversation, emptyConversation, type ToolCall } from "./conversation/model";
import { Reducer } from "./conversation/reducer";
import { type Connection, follow } from "./stream";
import type { Event } from "./types";

/** What a component sees of a session. A value never changes. */
export interface SessionState extends Conversation {
  connection: Connection;
  /** False until what had happened before this page was opened is there. */
  opened: boolean;
}

/** Milliseconds after which the history is shown in parts. */
const patience = 700;
/** Milliseconds between flushes while the page is hidden, where no animation frame comes. */
const hiddenFlush = 250;
/** Milliseconds of a frame, how long the page rests at most after a slow one, and how long it waits at most for the rows to be drawn. */
const frame = 16;
const longestRest = 300;
const longestDrawing = 2_000;
/** Milliseconds for which changes of the workspace are gathered before panels are told. */
const settle = 600;
/** Milliseconds before a stream whose numbers have a gap is asked again. */
const gapDelay = 1_000;

/**
 * The events of one session, for all components of the page that look at it. Events are gathered and taken in once per animation frame, so that
 * two thousand a second cost sixty renders; when rendering is slow, fewer: who draws the rows says when they are drawn, and the next ones come
 * after that and a rest.
 */
export class SessionStore {
  readonly id: string;
  private state: SessionState = { ...emptyConversation, connection: { state: "connecting" }, opened: false };
  private readonly reducer = new Reducer();
  private readonly listeners = new Set<() => void>();
  private readonly queries: QueryClient;
  private readonly start: typeof follow;
  private stop: (() => void) | undefined;
  private pending: Event[] = [];
  private scheduled = false;
  private notBefore = 0;
  private touched = false;
  private telling: ReturnType<typeof setTimeout> | undefined;
  private reopening: ReturnType<typeof setTimeout> | undefined;
  private begun = 0;
  private viewers = 0;
  /** The rows that are given out and not drawn yet, and since when. */
  private undrawn: { rows: SessionState["rows"]; since: number } | undefined;

  constructor(id: string, queries: QueryClient, start: typeof follow = follow) {
    this.id = id;
    this.queries = queries;
    this.start = start;
  }

  readonly get = (): SessionState => this.state;

  call(id: string): ToolCall | undefined { return this.reducer.call(id); }

  readonly subscribe = (fn: () => void): (() => void) => {
    this.listeners.add(fn);
    return () => { this.listeners.delete(fn); };
  };

  /** Ends when the history is there, or the host is known not to give it now. */
  async told(): Promise<void> {
    const isTold = () => this.state.opened || !["connecting", "live"].includes(this.state.connection.state);
    if (isTold()) return;
    await new Promise<void>((done) => {
      const leave = this.subscribe(() => {
        if (!isTold()) return;
        leave();
        done();
      });
    });
  }

  /** Begins to follow; again after a refusal, or with another key. What is there is kept. */
  open() {
    this.close();
    this.begun = Date.now();
    this.set({ connection: { state: "connecting" } });
    this.stop = this.start(this.id, {
      last: () => { this.flush(); this.reducer.reconnected(); return this.reducer.state.last; },
      events: (batch) => { this.receive(batch); },
      caughtUp: () => { this.caughtUp(); },
      connection: (connection) => { this.connected(connection); },
    });
  }

  close() {
    this.stop?.();
    this.stop = undefined;
    clearTimeout(this.telling);
    clearTimeout(this.reopening);
    this.telling = undefined;
  }

  private connected(connection: Connection) {
    this.flush();
    this.set({ ...this.reducer.state, connection, ...(connection.state === "ended" ? { opened: true } : {}) });
  }

  private receive(batch: Event[]) {
    if (!this.stop) return; // what the broken connection still had
    for (const e of batch) this.pending.push(e);
    // The history is shown when all of it is there, but taken in while it comes.
    if (!this.state.opened && Date.now() - this.begun < patience) this.take();
    else this.schedule();
  }

  /** What comes from now on happens now. */
  private caughtUp() {
    if (!this.stop || !this.take()) return;
    this.reducer.caughtUp();
    this.set({ ...this.reducer.state, opened: true });
  }

  /** Says that somebody draws the rows and will tell with drawn, until the function is called. */
  draws(): () => void {
    this.viewers++;
    return () => {
      this.viewers--;
      this.undrawn = undefined;
      if (this.pending.length > 0) this.schedule();
    };
  }

  /** Says that these rows are drawn. */
  drawn(rows: SessionState["rows"]) {
    const it = this.undrawn;
    if (it?.rows !== rows) return;
    this.undrawn = undefined;
    // This comes after the page was painted: as long as all of it took, what comes next leaves to what a person types.
    setTimeout(() => { this.rested(it.since); }, 0);
  }

  private rested(since: number) {
    this.notBefore = performance.now() + Math.min(longestRest, performance.now() - since);
    if (this.pending.length > 0) this.schedule();
  }

  private schedule() {
    if (this.scheduled) return;
    const now = performance.now();
    if (this.undrawn && !document.hidden && now - this.undrawn.since < longestDrawing) return; // drawn goes on
    this.scheduled = true;
    const flush = () => {
      const began = performance.now();
      this.scheduled = false;
      this.flush();
      if (this.undrawn) this.undrawn.since = began;
      else setTimeout(() => { this.rested(began); }, 0);
    };
    const wait = this.notBefore - now;
    if (document.hidden) setTimeout(flush, hiddenFlush);
    else if (wait > frame) setTimeout(() => requestAnimationFrame(flush), wait - frame);
    else requestAnimationFrame(flush);
  }

  private flush() {
    if (this.pending.length > 0 && this.take()) this.set({ ...this.reducer.state });
  }

  /** Takes in what is pending, without showing it. False when something was missed: then the stream begins again. */
  private take(): boolean {
    const batch = this.pending;
    this.pending = [];
    const before = this.reducer.state;
    try {
      this.reducer.push(batch);
    } catch {
      // A gap in the numbers: begin again from the last event that was taken in, but not in a hurry.
      this.close();
      this.set({ ...this.reducer.state, connection: { state: "reconnecting", since: Date.now(), next: Date.now() + gapDelay, away: false } });
      this.reopening = setTimeout(() => { this.open(); }, gapDelay);
      return false;
    }
    const now = this.reducer.state;
    if (now.calls !== before.calls || now.running !== before.running) this.tell(batch);
    return true;
  }

  private set(change: Partial<SessionState>) {
    if (this.viewers > 0 && change.rows && change.rows !== this.state.rows) this.undrawn = { rows: change.rows, since: performance.now() };
    this.state = { ...this.state, ...change };
    this.listeners.forEach((fn) => fn());
  }

  /** Tells the panels, at most every settle milliseconds, that the workspace may have changed, and at the end of a turn that the session has. */
  private tell(batch: readonly Event[]) {
    this.touched ||= batch.some((e) => e.type === "tool_result");
    const turn = batch.some((e) => e.type === "complete" || e.type === "user" || e.type === "settings");
    if (!this.touched && !turn) return;
    this.telling ??= setTimeout(() => {
      this.telling = undefined;
      this.touched = false;
      if (!this.state.opened) return;
      void this.queries.invalidateQueries({ queryKey: ["session", this.id, "files"] });
      if (!this.state.running) {
        void this.queries.invalidateQueries({ queryKey: ["session", this.id], exact: true });
        void this.queries.invalidateQueries({ queryKey: ["session", this.id, "commands"] });
      }
    }, settle);
  }
}
