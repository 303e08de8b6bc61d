import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { Bell, BellRing, KeyRound, List, Rocket, Search, SearchX } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { useSessions } from "@/app/catalog";
import { Failure } from "@/app/Failure";
import { KeyDialog } from "@/app/KeyDialog";
import { useKey } from "@/app/key";
import { notify, useNotifyPermission } from "@/app/notify";
import type { Session } from "@/app/types";
import { Button, IconButton } from "@/ui/button";
import { useNow } from "@/ui/clock";
import { cx } from "@/ui/cx";
import { Empty } from "@/ui/empty";
import { Input, Select } from "@/ui/field";
import { dollars } from "@/ui/format";
import { useNarrow } from "@/ui/media";
import { Skeleton } from "@/ui/skeleton";
import { counts, shownOf } from "./list";
import { newsOf } from "./news";
import { filters, type SessionsSearch, type Sort } from "./search";
import { SessionCards, SessionTable } from "./SessionTable";
import { StopDialog } from "./StopDialog";

const launchLink = "inline-flex h-9 items-center gap-1.5 rounded-md border border-transparent bg-accent px-3 text-sm font-medium text-on-accent hover:brightness-110";

/** Everything that runs under the key, live. */
export function SessionsPage() {
  const key = useKey();
  const [asking, setAsking] = useState(false);
  const notices = useNotifyPermission();
  const { data, error, isPending, refetch } = useSessions(key, true, notices.permission === "granted");
  return (
    <div className="flex h-full flex-col">
      {!key ? (
        <>
          <h1 className="sr-only">Sessions</h1>
          <Empty icon={KeyRound} title="Sessions belong to a key">
            Each one is shown only to the key that it was launched with.
            <span className="mt-3 flex justify-center gap-2"><Button look="primary" onClick={() => setAsking(true)}>Set your key</Button></span>
          </Empty>
          <KeyDialog open={asking} onClose={() => setAsking(false)} />
        </>
      ) : data ? <Sessions all={data} stale={error !== null} notices={notices} />
        : isPending ? <Waiting />
          : <><h1 className="p-4 text-xl font-semibold">Sessions</h1><Failure error={error} what="sessions" onRetry={() => void refetch()} /></>}
    </div>
  );
}

/** Tells of approvals and ends of turns while the page is hidden. */
function useNews(all: Session[]) {
  const navigate = useNavigate();
  const before = useRef(all);
  useEffect(() => {
    for (const { id, title, text } of newsOf(before.current, all)) {
      notify(id, title, text, () => void navigate({ to: "/sessions/$sessionId", params: { sessionId: id } }));
    }
    before.current = all;
  }, [all, navigate]);
}

function Sessions({ all, stale, notices }: { all: Session[]; stale: boolean; notices: ReturnType<typeof useNotifyPermission> }) {
  useNews(all);
  const search = useSearch({ from: "/sessions" });
  const navigate = useNavigate({ from: "/sessions" });
  const now = useNow();
  const narrow = useNarrow();
  const [marked, setMarked] = useState<ReadonlySet<string>>(new Set());
  const [stopping, setStopping] = useState<Session[]>([]);
  const shown = shownOf(all, search);
  // What has gone, or is not shown, is not stopped either.
  const chosen = new Set(shown.filter((s) => marked.has(s.session_id)).map((s) => s.session_id));
  const set = (next: Partial<Record<keyof SessionsSearch, unknown>>) => void navigate({ search: (old) => clean({ ...old, ...next }), replace: true });
  const sort: Sort = search.sort ?? "active";
  const number = counts(all, search);
  const rows = {
    sessions: shown, now, chosen,
    onChoose: (id: string, on: boolean) => setMarked(on ? new Set([...chosen, id]) : new Set([...chosen].filter((c) => c !== id))),
    onStop: (s: Session) => setStopping([s]),
  };
  return (
    <>
      <header className="flex flex-col gap-3 px-4 pt-4 pb-2">
        <div className="flex flex-wrap items-center gap-3">
          <h1 className="text-xl font-semibold">Sessions</h1>
          <p className={cx("text-sm text-ink-3 tabular-nums", stale && "text-warn")}>{stale ? "not live" : `${all.length} · ${dollars(all.reduce((sum, s) => sum + s.cost_usd, 0))}`}</p>
          {notices.can ? (
            <IconButton className="ml-auto" label={notices.permission === "granted" ? "You are told of approvals and ends of turns while this page is hidden" : "Tell me of approvals and ends of turns while this page is hidden"} disabled={notices.permission === "granted"} onClick={() => void notices.ask()}>
              {notices.permission === "granted" ? <BellRing size={16} /> : <Bell size={16} />}
            </IconButton>
          ) : null}
          <Link to="/launch" className={cx(launchLink, !notices.can && "ml-auto")}><Rocket size={15} aria-hidden />Launch</Link>
        </div>
        {all.length > 0 ? (
          <div className="flex flex-wrap items-center gap-2">
            <div className="relative min-w-0 flex-1 basis-52 sm:max-w-80">
              <Search size={15} className="absolute top-2.5 left-2.5 text-ink-3" aria-hidden />
              <Input type="search" aria-label="Search sessions" placeholder="Search" value={search.q ?? ""} onChange={(e) => set({ q: e.target.value })} className="pl-8" />
            </div>
            <div role="group" aria-label="Status" className="flex gap-1 overflow-x-auto">
              {filters.map((f) => (
                <button
                  key={f} type="button" aria-pressed={search.status === f} onClick={() => set({ status: search.status === f ? undefined : f })}
                  className={cx("h-9 shrink-0 rounded-md border px-2.5 text-sm", search.status === f ? "border-accent bg-accent-soft text-accent-ink" : "border-line text-ink-2 hover:bg-sunken")}
                >
                  {f} <span className="text-xs tabular-nums">{number[f]}</span>
                </button>
              ))}
            </div>
            <Select aria-label="Configuration" className="w-auto! max-w-56 sm:pr-8" value={search.config ?? ""} onChange={(e) => set({ config: e.target.value })}>
              <option value="">All configurations</option>
              {[...new Map(all.map((s) => [s.config_id, s.name || s.config_id]))].map(([id, name]) => <option key={id} value={id}>{name}</option>)}
            </Select>
            {narrow ? (
              <Select aria-label="Order" className="w-auto!" value={sort} onChange={(e) => set({ sort: e.target.value })}>
                <option value="active">Active</option><option value="created">Age</option><option value="status">Status</option><option value="title">Title</option><option value="cost">Cost</option>
              </Select>
            ) : null}
          </div>
        ) : null}
        {chosen.size > 0 ? (
          <div className="flex items-center gap-2 rounded-md bg-accent-soft px-3 py-1.5 text-sm text-accent-ink">
            <span className="flex-1" role="status">{chosen.size} chosen</span>
            <Button small onClick={() => setMarked(new Set())}>None</Button>
            <Button small look="danger" onClick={() => setStopping(shown.filter((s) => chosen.has(s.session_id)))}>Stop {chosen.size}</Button>
          </div>
        ) : null}
      </header>
      <div className="min-h-0 flex-1 overflow-auto sm:px-2">
        {all.length === 0 ? (
          <Empty icon={List} title="No session yet">
            Launch an agent, and it is here with what it does, costs and waits for.
            <span className="mt-3 flex justify-center"><Link to="/launch" className={launchLink}><Rocket size={15} aria-hidden />Launch your first agent</Link></span>
          </Empty>
        ) : shown.length === 0 ? (
          <Empty icon={SearchX} title="No session fits"><Button small className="mt-2" onClick={() => void navigate({ search: {}, replace: true })}>Show all {all.length}</Button></Empty>
        ) : narrow ? <SessionCards {...rows} /> : (
          <SessionTable
            {...rows} sort={sort} up={search.up ?? false}
            onSort={(next) => set(next === sort ? { up: search.up ? undefined : true } : { sort: next, up: undefined })}
            onChooseAll={(on) => setMarked(on ? new Set(shown.map((s) => s.session_id)) : new Set())}
          />
        )}
      </div>
      <StopDialog
        sessions={stopping} open={stopping.length > 0} onClose={() => setStopping([])}
        onStopped={(ids) => setMarked(new Set([...chosen].filter((c) => !ids.includes(c))))}
      />
    </>
  );
}

/** An address without what says nothing. */
function clean(search: Partial<Record<keyof SessionsSearch, unknown>>): SessionsSearch {
  return Object.fromEntries(Object.entries(search).filter(([name, value]) => value !== undefined && value !== "" && !(name === "sort" && value === "active")));
}

function Waiting() {
  return (
    <div className="flex flex-col gap-3 p-4" aria-busy>
      <h1 className="text-xl font-semibold">Sessions</h1>
      <Skeleton className="h-9 w-80 max-w-full" />
      {[0, 1, 2, 3, 4].map((i) => <Skeleton key={i} className="h-12 w-full" />)}
    </div>
  );
}
