import { ArrowDownToLine, Copy, Download, Eraser, ScrollText, Search, TextWrap } from "lucide-react";
import { useDeferredValue, useEffect, useMemo, useRef, useState } from "react";
import { Badge } from "@/ui/badge";
import { Button, IconButton } from "@/ui/button";
import { cx } from "@/ui/cx";
import { Empty } from "@/ui/empty";
import { Input } from "@/ui/field";
import { Notice, ProblemNotice } from "@/ui/notice";
import { Scroll } from "@/ui/scroll";
import { timeOfDay } from "@/ui/format";
import { useRows } from "@/ui/virtual";
import { copy } from "../../text/CopyButton";
import { visible } from "../name";
import { save } from "../transfer";
import { lineText, structured, useLogs, type Line } from "./lines";

const levels: Record<string, string> = { debug: "text-ink-3", info: "text-accent-ink", warn: "text-warn", warning: "text-warn", error: "text-bad", fatal: "text-bad" };

export default function LogsPanel({ sessionId }: { sessionId: string }) {
  const logs = useLogs(sessionId);
  const [query, setQuery] = useState("");
  const [wrap, setWrap] = useState(false);
  const [following, setFollowing] = useState(true);
  const wanted = useDeferredValue(query.trim().toLowerCase());
  const shown = useMemo(() => (wanted ? logs.lines.filter((l) => l.text.toLowerCase().includes(wanted)) : logs.lines), [logs.lines, wanted]);
  const all = () => shown.map(lineText).join("\n") + "\n";

  return (
    <div className="flex h-full min-h-0 flex-col">
      <div className="flex shrink-0 items-center gap-1 border-b border-line p-2">
        <div className="relative min-w-0 flex-1">
          <Search size={14} className="absolute top-2 left-2 text-ink-3" aria-hidden />
          <Input type="search" aria-label="Filter lines" placeholder="Filter lines" value={query} onChange={(e) => setQuery(e.target.value)} className="h-8! pl-7" />
        </div>
        <IconButton small label="Follow" aria-pressed={following} onClick={() => setFollowing(!following)} className="aria-pressed:bg-accent-soft!"><ArrowDownToLine size={15} /></IconButton>
        <IconButton small label="Wrap long lines" aria-pressed={wrap} onClick={() => setWrap(!wrap)} className="aria-pressed:bg-accent-soft!"><TextWrap size={15} /></IconButton>
        <IconButton small label="Copy" disabled={shown.length === 0} onClick={() => { void copy(all(), `${shown.length} lines`); }}><Copy size={15} /></IconButton>
        <IconButton small label="Download" disabled={shown.length === 0} onClick={() => save(new Blob([all()]), `${sessionId}.log`)}><Download size={15} /></IconButton>
        <IconButton small label="Clear what is shown" disabled={logs.lines.length === 0} onClick={logs.clear}><Eraser size={15} /></IconButton>
      </div>
      {logs.problem?.status === 501 ? <Notice className="m-2">The session&apos;s provider can&apos;t tell what its sandboxes write.</Notice>
        : logs.problem ? <ProblemNotice className="m-2" error={logs.problem} action={<Button small onClick={logs.again}>Try again</Button>} /> : null}
      {logs.state === "ended" ? <Notice className="m-2" action={<Button small onClick={logs.again}>Look again</Button>}>The session has no sandbox now; lines are kept as long as it has one.</Notice> : null}
      <div className="min-h-0 flex-1">
        {shown.length > 0 ? <Lines lines={shown} wrap={wrap} following={following} onFollow={setFollowing} />
          : <Empty icon={ScrollText} title={wanted ? "No line has that" : logs.state === "waiting" ? "Waiting for lines" : "No lines"}><p>These are messages of the agent server that drives Claude Code in the sandbox, not what the agent says.</p></Empty>}
      </div>
      <p className="flex shrink-0 items-center gap-2 border-t border-line px-3 py-1 text-xs text-ink-3" role="status">
        <Badge tone={logs.state === "live" || logs.state === "waiting" ? "good" : "plain"}>{logs.state === "live" || logs.state === "waiting" ? "following" : "not following"}</Badge>
        {wanted ? `${shown.length} of ${logs.lines.length} lines` : `${logs.lines.length} lines`}
      </p>
    </div>
  );
}

function Lines({ lines, wrap, following, onFollow }: { lines: readonly Line[]; wrap: boolean; following: boolean; onFollow: (on: boolean) => void }) {
  const scroller = useRef<HTMLDivElement>(null);
  const virtual = useRows(scroller, lines.length, 20, (i) => lines[i]?.n ?? i);
  const last = lines.at(-1)?.n;
  useEffect(() => {
    const el = scroller.current;
    if (!el || !following) return undefined;
    el.scrollTop = el.scrollHeight;
    // Going up by hand ends following; coming back to the end does not begin it, the button does.
    const up = (e: WheelEvent) => { if (e.deltaY < 0) onFollow(false); };
    const key = (e: KeyboardEvent) => { if (["ArrowUp", "PageUp", "Home"].includes(e.key)) onFollow(false); };
    el.addEventListener("wheel", up, { passive: true });
    el.addEventListener("keydown", key);
    return () => { el.removeEventListener("wheel", up); el.removeEventListener("keydown", key); };
  }, [following, last, virtual.height, onFollow]);
  return (
    <Scroll ref={scroller} label="Log" className="h-full font-mono text-xs">
      <div className="relative w-full" style={{ height: virtual.height }}>
        {virtual.rows.map(({ index, start, key }) => {
          const line = lines[index];
          if (!line) return null;
          const known = structured(line.text);
          return (
            <div
              key={key} data-index={index} ref={virtual.measure} style={{ transform: `translateY(${start}px)` }}
              className={cx("absolute top-0 left-0 flex min-h-5 min-w-full gap-2 px-3 leading-5 hover:bg-sunken", wrap ? "w-full" : "w-max whitespace-pre")}
            >
              {line.time ? <time dateTime={line.time} className="shrink-0 text-ink-3">{timeOfDay(Date.parse(line.time))}</time> : null}
              {known ? (
                <span className={cx("min-w-0", wrap && "[overflow-wrap:anywhere]")}>
                  <span className={levels[known.level] ?? "text-ink-2"}>{known.level.padEnd(5)}</span> {visible(known.message)} <span className="text-ink-3">{visible(known.rest)}</span>
                </span>
              ) : <span className={cx("min-w-0", wrap && "whitespace-pre-wrap [overflow-wrap:anywhere]")}>{visible(line.text)}</span>}
            </div>
          );
        })}
      </div>
    </Scroll>
  );
}
