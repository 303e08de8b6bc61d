import { Link } from "@tanstack/react-router";
import { ArrowDown, ArrowUp, Square } from "lucide-react";
import type { Session } from "@/app/types";
import { Badge } from "@/ui/badge";
import { IconButton } from "@/ui/button";
import { Checkbox } from "@/ui/checkbox";
import { cx } from "@/ui/cx";
import { ago, dollars, duration } from "@/ui/format";
import { idleLeft, stateOf, stateTones, titleOf } from "./list";
import type { Sort } from "./search";

export interface Rows {
  sessions: Session[];
  now: number;
  chosen: ReadonlySet<string>;
  onChoose: (id: string, on: boolean) => void;
  onStop: (s: Session) => void;
}

/** A session's state; what waits for a person stands out. */
export function StateBadge({ session }: { session: Session }) {
  const state = stateOf(session);
  return (
    <Badge tone={stateTones[state]}>
      <span aria-hidden className={cx("size-1.5 rounded-full bg-current", (state === "working" || state === "starting") && "animate-pulse")} />
      {state === "waiting" ? "needs approval" : state}
    </Badge>
  );
}

/** How long until its sandbox is freed, or why it does not run. */
function Note({ session, now }: { session: Session; now: number }) {
  const left = idleLeft(session, now);
  if (left !== undefined) return <span className="text-xs text-ink-3 tabular-nums">sleeps in {left < 1000 ? "a moment" : duration(Math.floor(left / 1000) * 1000)}</span>;
  return session.reason ? <span className="line-clamp-1 text-xs text-ink-3" title={session.reason}>{session.reason}</span> : null;
}

const columns: { sort: Sort; title: string; className: string }[] = [
  { sort: "title", title: "Session", className: "" },
  { sort: "status", title: "Status", className: "w-44" },
  { sort: "cost", title: "Cost", className: "w-24 text-right" },
  { sort: "created", title: "Age", className: "w-32 text-right max-lg:hidden" },
  { sort: "active", title: "Active", className: "w-36 text-right" },
];

export function SessionTable({ sessions, now, chosen, onChoose, onStop, sort, up, onSort, onChooseAll }: Rows & {
  sort: Sort; up: boolean; onSort: (sort: Sort) => void; onChooseAll: (on: boolean) => void;
}) {
  const all = sessions.length > 0 && sessions.every((s) => chosen.has(s.session_id));
  const some = sessions.some((s) => chosen.has(s.session_id));
  return (
    <table className="w-full table-fixed border-separate border-spacing-0 text-sm">
      <caption className="sr-only">Your sessions</caption>
      <thead>
        <tr>
          <th scope="col" className="sticky top-0 w-10 border-b border-line bg-canvas pl-3"><Checkbox checked={all ? true : some ? "indeterminate" : false} onChange={onChooseAll} label="Choose all" /></th>
          {columns.map((c) => (
            <th key={c.sort} scope="col" aria-sort={sort === c.sort ? (up ? "ascending" : "descending") : "none"} className={cx("sticky top-0 border-b border-line bg-canvas px-2 py-1 font-medium", c.className, !c.className.includes("text-right") && "text-left")}>
              <button type="button" onClick={() => onSort(c.sort)} className="inline-flex h-7 items-center gap-1 rounded text-xs text-ink-2 hover:text-ink">
                {c.title}{sort === c.sort ? up ? <ArrowUp size={12} aria-hidden /> : <ArrowDown size={12} aria-hidden /> : null}
              </button>
            </th>
          ))}
          <th scope="col" className="sticky top-0 w-12 border-b border-line bg-canvas"><span className="sr-only">Actions</span></th>
        </tr>
      </thead>
      <tbody>
        {sessions.map((s) => (
          <tr key={s.session_id} className={cx("group", chosen.has(s.session_id) ? "bg-accent-soft/40" : "hover:bg-sunken")}>
            <td className="border-b border-line pl-3"><Checkbox checked={chosen.has(s.session_id)} onChange={(on) => onChoose(s.session_id, on)} label={`Choose ${titleOf(s)}`} /></td>
            <td className="border-b border-line px-2 py-2">
              <Link to="/sessions/$sessionId" params={{ sessionId: s.session_id }} className="block min-w-0">
                <span className="flex min-w-0 items-baseline gap-2"><span className="truncate font-medium group-hover:underline">{titleOf(s)}</span><span className="shrink-0 text-xs text-ink-3">{s.title ? s.name : ""}</span></span>
                <span className="block truncate text-xs text-ink-2">{s.last_line || (s.turn === 0 ? "No message yet" : " ")}</span>
              </Link>
            </td>
            <td className="border-b border-line px-2"><div className="flex flex-col items-start gap-0.5"><StateBadge session={s} /><Note session={s} now={now} /></div></td>
            <td className="border-b border-line px-2 text-right tabular-nums">{dollars(s.cost_usd)}</td>
            <td className="border-b border-line px-2 text-right whitespace-nowrap text-ink-2 tabular-nums max-lg:hidden">{age(s.created_at, now)}</td>
            <td className="border-b border-line px-2 text-right whitespace-nowrap text-ink-2 tabular-nums">{ago(s.last_active, now)}</td>
            <td className="border-b border-line px-2"><IconButton small label={`Stop ${titleOf(s)}`} onClick={() => onStop(s)}><Square size={14} /></IconButton></td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** The same on a phone. */
export function SessionCards({ sessions, now, chosen, onChoose, onStop }: Rows) {
  return (
    <ul className="flex flex-col gap-2 px-4 pb-3 pt-1">
      {sessions.map((s) => (
        <li key={s.session_id} className={cx("flex gap-3 rounded-lg border bg-surface p-3", chosen.has(s.session_id) ? "border-accent" : "border-line")}>
          <Checkbox className="mt-0.5" checked={chosen.has(s.session_id)} onChange={(on) => onChoose(s.session_id, on)} label={`Choose ${titleOf(s)}`} />
          <Link to="/sessions/$sessionId" params={{ sessionId: s.session_id }} className="flex min-w-0 flex-1 flex-col gap-1">
            <span className="truncate font-medium">{titleOf(s)}</span>
            {s.last_line ? <span className="line-clamp-2 text-xs text-ink-2">{s.last_line}</span> : null}
            <span className="flex flex-wrap items-center gap-x-2 gap-y-1"><StateBadge session={s} /><Note session={s} now={now} /></span>
            <span className="text-xs text-ink-3 tabular-nums">{s.name} · {dollars(s.cost_usd)} · {ago(s.last_active, now)}</span>
          </Link>
          <IconButton small label={`Stop ${titleOf(s)}`} onClick={() => onStop(s)}><Square size={14} /></IconButton>
        </li>
      ))}
    </ul>
  );
}

function age(time: string, now: number): string {
  const at = Date.parse(time);
  return Number.isNaN(at) ? "unknown" : duration(Math.max(0, Math.floor((now - at) / 1000) * 1000));
}
