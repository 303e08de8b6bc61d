import { ArrowLeft, Copy, FileDiff, FileText, RefreshCw, TextWrap } from "lucide-react";
import { useRef, useState } from "react";
import { Button, IconButton } from "@/ui/button";
import { cx } from "@/ui/cx";
import { Empty } from "@/ui/empty";
import { Select } from "@/ui/field";
import { bytes } from "@/ui/format";
import { loadable } from "@/ui/loadable";
import { Notice, ProblemNotice } from "@/ui/notice";
import { Skeleton } from "@/ui/skeleton";
import { useRows } from "@/ui/virtual";
import { copy } from "../../text/CopyButton";
import { keyOf } from "../address";
import { lineEnding } from "../code/ending";
import { useChanges, useFileChange, useOpenFile, useSession } from "../data";
import { Name, visible } from "../name";
import type { Change } from "../types";

const DiffView = loadable(() => import("../code/DiffView"), () => <Skeleton className="m-3 h-40" />);

const statuses = { added: ["A", "text-good"], modified: ["M", "text-warn"], deleted: ["D", "text-bad"] } as const;
/** How many turns can be chosen, the newest first. */
const maxTurns = 50;

export default function ChangesPanel({ sessionId }: { sessionId: string }) {
  const [since, setSince] = useState("launch");
  const [chosen, setChosen] = useState<string>();
  const query = useChanges(sessionId, since);
  const session = useSession(sessionId);
  const turns = session.data?.turns ?? session.data?.turn ?? 0;
  const changes = query.data?.changes ?? [];
  const change = changes.find((c) => keyOf(c) === chosen);
  const added = changes.reduce((n, c) => n + (c.additions ?? 0), 0);
  const removed = changes.reduce((n, c) => n + (c.deletions ?? 0), 0);

  if (change) return <Diff key={`${since}\n${keyOf(change)}`} sessionId={sessionId} since={since} change={change} onBack={() => setChosen(undefined)} />;
  return (
    <div className="flex h-full min-h-0 flex-col">
      <div className="flex shrink-0 items-center gap-2 border-b border-line p-2">
        <Select aria-label="Changes since" value={since} onChange={(e) => setSince(e.target.value)} className="h-8! w-auto!">
          <option value="launch">Since the launch</option>
          <option value="turn">Since the last turn began</option>
          {Array.from({ length: Math.min(turns, maxTurns) }, (_, i) => turns - i).slice(1).map((n) => <option key={n} value={`turn:${n}`}>Since turn {n} began</option>)}
        </Select>
        <p className="min-w-0 flex-1 truncate text-xs text-ink-2" role="status">
          {query.data ? <>{query.data.total} {query.data.total === 1 ? "file" : "files"} <span className="text-good">+{added}</span> <span className="text-bad">−{removed}</span></> : null}
        </p>
        <IconButton small label="Refresh" onClick={() => void query.refetch()}><RefreshCw size={15} className={cx(query.isFetching && "animate-spin")} /></IconButton>
      </div>
      {query.data?.truncated ? <Notice tone="warn" className="m-2">There are more changes than can be listed.</Notice> : null}
      <div className="min-h-0 flex-1">
        {query.error ? <ProblemNotice className="m-2" error={query.error} action={<Button small onClick={() => void query.refetch()}>Try again</Button>} />
          : !query.data ? <div className="flex flex-col gap-2 p-3">{[50, 62, 44].map((w) => <div key={w} style={{ width: `${w}%` }}><Skeleton className="h-5" /></div>)}</div>
          : changes.length === 0 ? <Empty icon={FileDiff} title="Nothing has changed"><p>Files that the agent or you add, change or delete show here, with what is different.</p></Empty>
          : <List changes={changes} onChoose={setChosen} />}
      </div>
    </div>
  );
}

function List({ changes, onChoose }: { changes: readonly Change[]; onChoose: (key: string) => void }) {
  const scroller = useRef<HTMLUListElement>(null);
  const virtual = useRows(scroller, changes.length, 32);
  return (
    <ul ref={scroller} aria-label="Changed files" className="h-full overflow-auto">
      <li aria-hidden className="relative list-none" style={{ height: virtual.height, marginBottom: -virtual.height }} />
      {virtual.rows.map(({ index, start }) => {
        const change = changes[index];
        if (!change) return null;
        const [letter, look] = statuses[change.status];
        return (
          <li key={keyOf(change)} className="relative h-0" aria-setsize={changes.length} aria-posinset={index + 1}>
            <button
              type="button" onClick={() => onChoose(keyOf(change))} title={visible(change.path)}
              className="absolute inset-x-0 top-0 flex h-8 items-center gap-2 px-3 text-left text-sm outline-offset-[-2px] hover:bg-sunken" style={{ transform: `translateY(${start}px)` }}
            >
              <span className={cx("w-3 font-mono text-xs font-semibold", look)} aria-hidden>{letter}</span>
              <span className={cx("min-w-0 flex-1 truncate", change.status === "deleted" && "line-through")}><Name text={change.path} /></span>
              <span className="sr-only">, {change.status}, </span>
              {change.binary ? <span className="text-xs text-ink-3">binary, {bytes(change.size_bytes)}</span> : (
                <span className="text-xs tabular-nums"><span className="text-good">+{change.additions ?? 0}</span> <span className="text-bad">−{change.deletions ?? 0}</span></span>
              )}
            </button>
          </li>
        );
      })}
    </ul>
  );
}

function Diff({ sessionId, since, change, onBack }: { sessionId: string; since: string; change: Change; onBack: () => void }) {
  const { open } = useOpenFile();
  const [wrap, setWrap] = useState(false);
  const query = useFileChange(sessionId, since, keyOf(change));
  const data = query.data;
  const before = data?.before ?? "", after = data?.after ?? "";
  const onlyEnds = data && before !== after && lineEnding(before) !== lineEnding(after);
  return (
    <div className="flex h-full min-h-0 flex-col">
      <header className="flex shrink-0 items-center gap-1 border-b border-line p-2">
        <IconButton small label="All changes" onClick={onBack}><ArrowLeft size={16} /></IconButton>
        <h2 className="min-w-0 flex-1 truncate text-sm font-medium" title={visible(change.path)}><Name text={change.path} /> <span className="text-xs font-normal text-ink-3">{change.status}</span></h2>
        <IconButton small label="Wrap long lines" aria-pressed={wrap} onClick={() => setWrap(!wrap)} className="aria-pressed:bg-accent-soft!"><TextWrap size={15} /></IconButton>
        {change.status === "deleted" ? (
          <IconButton small label="Copy the deleted text" disabled={!data?.before} onClick={() => { void copy(before, "the deleted text"); }}><Copy size={15} /></IconButton>
        ) : <Button small onClick={() => open(keyOf(change))}><FileText size={13} aria-hidden />Open</Button>}
      </header>
      {data?.truncated ? <Notice className="m-2">The file is large: only its beginning is compared.</Notice> : null}
      {onlyEnds ? <Notice className="m-2">Its line ends have changed.</Notice> : null}
      <div className="min-h-0 flex-1">
        {query.error ? <ProblemNotice className="m-2" error={query.error} /> : null}
        {!data && !query.error ? <Skeleton className="m-3 h-40" /> : null}
        {data?.binary ? <Empty icon={FileDiff} title="Not a text"><p>The file has {bytes(change.size_bytes)} now. What has changed in it can&apos;t be shown.</p></Empty> : null}
        {data && !data.binary ? (
          <DiffView before={before} after={after} name={change.path} label={`Changes of ${visible(change.path)}`} wrap={wrap} />
        ) : null}
      </div>
    </div>
  );
}
