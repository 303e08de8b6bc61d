import type { Session } from "@/app/types";
import type { Tone } from "@/ui/badge";
import type { Filter, SessionsSearch, Sort } from "./search";

/** What a session is doing, in one word: its status, and while it runs its activity. */
export type State = "waiting" | "working" | "idle" | "asleep" | "failed" | "starting" | "stopping";

export function stateOf(s: Session): State { return s.status === "running" ? (s.waiting > 0 ? "waiting" : s.activity) : s.status; }

export const stateTones: Record<State, Tone> = {
  waiting: "warn", working: "accent", idle: "good", asleep: "plain", failed: "bad", starting: "accent", stopping: "plain",
};

/** What a session is called: its first message, or its configuration. */
export function titleOf(s: Session): string { return s.title?.trim() || s.name || s.config_id; }

// The states that a filter stands for; one that starts is at work, one that stops no longer is.
const groups: Record<Filter, State[]> = { waiting: ["waiting"], working: ["working", "starting"], idle: ["idle"], asleep: ["asleep"], failed: ["failed", "stopping"] };

const urgency: State[] = ["waiting", "failed", "working", "starting", "idle", "asleep", "stopping"];

/** How many sessions each filter would show, of those that the search and the configuration leave. */
export function counts(all: Session[], search: SessionsSearch): Record<Filter, number> {
  const rest = all.filter((s) => fits(s, { ...search, status: undefined }));
  const of = (filter: Filter) => rest.filter((s) => groups[filter].includes(stateOf(s))).length;
  return { waiting: of("waiting"), working: of("working"), idle: of("idle"), asleep: of("asleep"), failed: of("failed") };
}

function fits(s: Session, { q, status, config }: { q?: string | undefined; status?: Filter | undefined; config?: string | undefined }): boolean {
  if (status && !groups[status].includes(stateOf(s))) return false;
  if (config && s.config_id !== config) return false;
  const words = (q ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const text = [titleOf(s), s.last_line, s.name, s.config_id, s.session_id, s.provider].join("\n").toLowerCase();
  return words.every((w) => text.includes(w));
}

/** The sessions to show, in their order. Every word of the search has to be somewhere in one. */
export function shownOf(all: Session[], search: SessionsSearch): Session[] {
  const sort: Sort = search.sort ?? "active";
  const by: Record<Sort, (a: Session, b: Session) => number> = {
    active: (a, b) => Date.parse(a.last_active) - Date.parse(b.last_active),
    created: (a, b) => Date.parse(a.created_at) - Date.parse(b.created_at),
    title: (a, b) => titleOf(b).localeCompare(titleOf(a)),
    status: (a, b) => urgency.indexOf(stateOf(b)) - urgency.indexOf(stateOf(a)),
    cost: (a, b) => a.cost_usd - b.cost_usd,
  };
  const way = search.up ? 1 : -1;
  // The id breaks ties, so that rows don't change places while nothing happens.
  return all.filter((s) => fits(s, search)).sort((a, b) => way * by[sort](a, b) || a.session_id.localeCompare(b.session_id));
}

/** Milliseconds until an idle session's sandbox is freed; undefined when it is not to be. */
export function idleLeft(s: Session, now: number): number | undefined {
  const at = Date.parse(s.idle_expires_at ?? "");
  return s.status !== "running" || s.activity !== "idle" || Number.isNaN(at) ? undefined : Math.max(0, at - now);
}
