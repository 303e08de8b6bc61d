import type { Event } from "../types";
import { type Approval, type Conversation, emptyConversation, type Row, type ToolCall } from "./model";

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type Draft = Mutable<Conversation>;
type Of<T extends Event["type"]> = Extract<Event, { type: T }>;

/** A hole in the numbers: something was missed, and the stream must be asked again from the last number that was taken in. */
export class GapError extends Error {}

/**
 * Turns events into a Conversation, batch by batch. An event costs the same however long the session is; a batch costs in addition one copy
 * of each list that it changes. Events that were taken in before are passed over, so replays are harmless.
 */
export class Reducer {
  state: Conversation = emptyConversation;

  /** Where in state.calls a call is. Calls are only ever added. */
  private readonly index = new Map<string, number>();
  /** Calls of the open turn that have no result yet. */
  private readonly open = new Set<string>();
  /** Verdicts and approvals that came before the call they belong to. */
  private readonly early = new Map<string, Mutable<Pick<ToolCall, "verdicts" | "approval">>>();
  private texts = 0;
  /** The model as it was last chosen: an alias that Claude Code reports by its full name. */
  private chosen = "";
  /** True when the next preview may begin in the middle of its block: nothing that happened on this connection came before it. */
  private partial = true;
  private replaying = true;
  private draft: Draft = emptyConversation;
  private ownRows: Row[] | undefined;
  private ownCalls: ToolCall[] | undefined;
  /** Calls that this batch has made a copy of, with their lists of children if those are copies, too. */
  private readonly ownCall = new Map<string, Mutable<ToolCall>>();
  private readonly ownChildren = new Map<string, Row[]>();

  call(id: string): ToolCall | undefined {
    const at = this.index.get(id);
    return at === undefined ? undefined : this.state.calls[at];
  }

  /** Takes in a batch. Throws GapError after taking in what came before the gap. */
  push(events: Iterable<Event>): Conversation {
    this.draft = { ...this.state };
    try {
      for (const e of events) this.take(e);
    } finally {
      this.state = this.draft;
      this.ownRows = undefined;
      this.ownCalls = undefined;
      this.ownCall.clear();
      this.ownChildren.clear();
    }
    return this.state;
  }

  /** Says that the connection is a new one: previews that were not kept are lost, and the next ones may begin in the middle. */
  reconnected() {
    this.partial = true;
    this.replaying = true;
    const live = this.state.rows.at(-1);
    if (live && isLive(live)) this.state = { ...this.state, rows: this.state.rows.slice(0, -1) };
  }

  /** Says that what comes from now on happens now. */
  caughtUp() { this.replaying = false; }

  private take(e: Event) {
    const id = e.event_id ?? 0;
    if (id > 0) {
      if (id <= this.draft.last) return;
      if (id !== this.draft.last + 1) throw new GapError(`event ${id} came after ${this.draft.last}`);
      this.draft.last = id;
      this.partial &&= this.replaying;
    }
    const at = Date.parse(e.time) || 0;
    const turn = e.turn ?? 0;
    const head = { key: `e${id}`, turn, at };
    switch (e.type) {
      case "user":
        this.draft.turn = turn;
        this.draft.running = true;
        this.draft.turnBegan = at;
        this.texts = 0;
        this.add("", { kind: "user", ...head, content: e.content });
        break;
      case "init":
        this.draft.init = e;
        this.draft.model = e.model;
        this.draft.permissionMode = e.permission_mode;
        break;
      case "settings":
        this.settings(e, head);
        break;
      case "text":
      case "thinking":
        this.add(e.parent, { kind: e.type, ...head, key: e.parent ? head.key : `t${turn}.${this.texts++}`, content: e.content, live: false, cut: false });
        break;
      case "text_delta":
      case "thinking_delta":
        this.preview(e, turn, at);
        break;
      case "tool_use":
        this.use(e, head);
        break;
      case "tool_result":
        this.open.delete(e.id);
        this.change(e.id, (c) => { c.ended = at; c.output = e.output; c.failed = e.is_error; });
        break;
      case "todo_update":
        this.draft.todos = e.todos ?? [];
        break;
      case "approval_required":
        this.ask(e, at);
        break;
      case "approval_resolved":
        this.resolve(e);
        break;
      case "verdict":
        this.judge(e, head);
        break;
      case "status":
        this.draft.status = e.status;
        this.draft.statusReason = e.reason ?? "";
        this.draft.position = e.position ?? 0;
        if (e.status === "failed" || e.status === "asleep") {
          this.add("", { kind: "notice", ...head, tone: e.status === "failed" ? "bad" : "plain", text: e.status === "failed" ? `The session failed${e.reason ? `: ${e.reason}` : ""}` : "The session fell asleep; the next message wakes it." });
        }
        break;
      case "error":
        this.add("", { kind: "error", ...head, code: e.code, message: e.message });
        break;
      case "complete":
        this.complete(e, head);
        break;
      default:
        // A type of a newer host: its number counts, its content is not for this page.
        break;
    }
  }

  private settings(e: Of<"settings">, head: { key: string; turn: number; at: number }) {
    const changes: string[] = [];
    if (e.model && e.model !== this.draft.model && e.model !== this.chosen) changes.push(`model ${e.model}`);
    if (e.permission_mode && e.permission_mode !== this.draft.permissionMode) changes.push(`permission mode ${e.permission_mode}`);
    this.chosen = e.model || this.chosen;
    if (e.model) this.draft.model = e.model;
    if (e.permission_mode) this.draft.permissionMode = e.permission_mode;
    if (changes.length > 0) this.add("", { kind: "notice", ...head, tone: "plain", text: `Set to ${changes.join(", ")}` });
  }

  private preview(e: Of<"text_delta" | "thinking_delta">, turn: number, at: number) {
    if (e.parent) return; // a sub-agent's texts come whole
    const kind = e.type === "text_delta" ? "text" : "thinking";
    const rows = this.rows();
    const last = rows.at(-1);
    if (last && isLive(last) && last.kind === kind) {
      rows[rows.length - 1] = { ...last, content: last.content + e.content };
      return;
    }
    this.dropLive();
    rows.push({ kind, key: `t${turn}.${this.texts}`, turn, at, content: e.content, live: true, cut: this.partial });
    this.partial = false;
  }

  private use(e: Of<"tool_use">, head: { key: string; turn: number; at: number }) {
    const early = this.early.get(e.id);
    this.early.delete(e.id);
    const calls = this.calls();
    this.index.set(e.id, calls.length);
    this.open.add(e.id);
    calls.push({
      id: e.id, tool: e.tool, input: e.input, arguments: e.arguments, parent: e.parent ?? "", turn: head.turn, began: head.at, failed: false, cutOff: false,
      verdicts: early?.verdicts ?? [], children: [], ...(early?.approval ? { approval: early.approval } : {}),
    });
    this.add(e.parent, { kind: "tool", ...head, call: e.id });
  }

  private ask(e: Of<"approval_required">, at: number) {
    const approval: Approval = {
      ask: e.ask, call: e.tool_use_id ?? "", tool: e.tool, input: e.input, arguments: e.arguments, reason: e.reason, expires: Date.parse(e.expires_at) || 0, at,
      parent: e.parent ?? "",
    };
    this.draft.approvals = [...this.draft.approvals, approval];
    this.note(approval.call, (c) => { c.approval = approval; });
  }

  private resolve(e: Of<"approval_resolved">) {
    const waiting = this.draft.approvals.find((a) => a.ask === e.ask);
    if (!waiting) return;
    this.draft.approvals = this.draft.approvals.filter((a) => a !== waiting);
    this.note(waiting.call, (c) => { c.approval = { ...waiting, decision: e.decision, by: e.by, why: e.reason ?? "" }; });
  }

  private judge(e: Of<"verdict">, head: { key: string; turn: number; at: number }) {
    const verdict = {
      by: e.by, decision: e.decision, gate: e.gate, reason: e.reason, ...(e.tool ? { tool: e.tool } : {}), ...(e.tool_use_id ? { tool_use_id: e.tool_use_id } : {}),
    };
    if (e.tool_use_id) this.note(e.tool_use_id, (c) => { c.verdicts = [...c.verdicts, verdict]; });
    else this.add(e.parent, { kind: "verdict", ...head, verdict });
  }

  private complete(e: Of<"complete">, head: { key: string; turn: number; at: number }) {
    for (const id of this.open) this.change(id, (c) => { c.ended = head.at; c.cutOff = true; });
    this.open.clear();
    for (const [, { verdicts }] of this.early) {
      verdicts.forEach((verdict, i) => this.add("", { kind: "verdict", ...head, key: `${head.key}.${i}`, verdict }));
    }
    this.early.clear();
    const sum = this.draft.usage;
    this.draft.usage = {
      input_tokens: sum.input_tokens + e.usage.input_tokens, output_tokens: sum.output_tokens + e.usage.output_tokens,
      cache_read_input_tokens: sum.cache_read_input_tokens + e.usage.cache_read_input_tokens,
      cache_creation_input_tokens: sum.cache_creation_input_tokens + e.usage.cache_creation_input_tokens,
    };
    this.draft.cost += e.cost_usd;
    this.draft.running = false;
    this.draft.lastComplete = e.status;
    this.draft.approvals = [];
    this.add("", {
      kind: "complete", ...head, status: e.status, usage: e.usage, cost: e.cost_usd, trips: e.turns, took: Math.max(0, head.at - this.draft.turnBegan),
    });
  }

  /** Adds a row to the main thread or to a sub-agent's. A preview ends with the next row of the main thread: the whole text takes its place. */
  private add(parent: string | undefined, row: Row) {
    if (parent && this.index.has(parent)) {
      this.change(parent, (c) => {
        let children = this.ownChildren.get(parent);
        if (!children) this.ownChildren.set(parent, children = [...c.children]);
        children.push(row);
        c.children = children;
      });
      return;
    }
    this.dropLive();
    this.rows().push(row);
  }

  private dropLive() {
    const last = this.draft.rows.at(-1);
    if (last && isLive(last)) this.rows().pop();
  }

  private rows(): Row[] { return this.ownRows ??= this.draft.rows = [...this.draft.rows] as Row[]; }

  private calls(): ToolCall[] { return this.ownCalls ??= this.draft.calls = [...this.draft.calls] as ToolCall[]; }

  private change(id: string, fn: (call: Mutable<ToolCall>) => void) {
    const at = this.index.get(id);
    if (at === undefined) return;
    let mine = this.ownCall.get(id);
    if (!mine) {
      const calls = this.calls();
      const was = calls[at];
      if (!was) return;
      mine = { ...was };
      calls[at] = mine;
      this.ownCall.set(id, mine);
    }
    fn(mine);
  }

  /** Like change, but keeps what is said of a call that has not come yet. */
  private note(id: string, fn: (call: Mutable<Pick<ToolCall, "verdicts" | "approval">>) => void) {
    if (this.index.has(id)) { this.change(id, fn); return; }
    if (!id) return;
    const early = this.early.get(id) ?? { verdicts: [] };
    fn(early);
    this.early.set(id, early);
  }
}

function isLive(row: Row): row is Extract<Row, { kind: "text" | "thinking" }> { return (row.kind === "text" || row.kind === "thinking") && row.live; }
