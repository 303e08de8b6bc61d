import { Wrench } from "lucide-react";
import { memo, useDeferredValue, useState } from "react";
import { Badge } from "@/ui/badge";
import { Button } from "@/ui/button";
import { cx } from "@/ui/cx";
import { Empty } from "@/ui/empty";
import { Input, Select } from "@/ui/field";
import { duration } from "@/ui/format";
import type { ToolCall } from "../conversation/model";
import { toolName } from "../tools/args";
import { lookOf } from "../tools/look";
import { Running } from "../tools/Running";
import { ToolCard } from "../tools/ToolCard";
import { useSession } from "../useSession";
import { filterCalls, type CallState, nest, states } from "./filterCalls";

/** Calls that are shown at once: the newest that pass the filter. */
const page = 200;

/** Every tool call on a line of time, to be filtered by tool, by how it went and by a word. */
export function ToolsPanel({ sessionId }: { sessionId: string }) {
  // A list of thousands must not hold up what is typed.
  const calls = useDeferredValue(useSession(sessionId, (s) => s.calls));
  const [tool, setTool] = useState("");
  const [state, setState] = useState<CallState>("all");
  const [word, setWord] = useState("");
  const [shown, setShown] = useState(page);
  const [open, setOpen] = useState("");
  if (calls.length === 0) return <Empty icon={Wrench} title="No tool calls yet">What the agent runs, reads and writes is listed here, with its time and what policies said.</Empty>;
  const tools = [...new Set(calls.map((c) => toolName(c.tool)))].sort();
  const found = filterCalls(calls, { tool, state, word });
  const nested = nest(found, calls);
  const first = found[0]?.began ?? 0;
  const total = Math.max(1, found.reduce((last, c) => Math.max(last, c.ended ?? c.began), first) - first);
  return (
    <div className="flex h-full flex-col">
      <div className="flex flex-wrap gap-2 border-b border-line p-2">
        <Select aria-label="Tool" className="h-8 w-auto flex-1" value={tool} onChange={(e) => setTool(e.target.value)}>
          <option value="">All tools</option>
          {tools.map((t) => <option key={t}>{t}</option>)}
        </Select>
        <Select aria-label="How it went" className="h-8 w-auto flex-1" value={state} onChange={(e) => setState(e.target.value as CallState)}>
          {Object.entries(states).map(([id, name]) => <option key={id} value={id}>{name}</option>)}
        </Select>
        <Input aria-label="Search in calls" placeholder="Search" className="h-8 flex-[2] max-sm:basis-full" value={word} onChange={(e) => setWord(e.target.value)} />
      </div>
      <p className="px-3 pt-2 text-xs text-ink-3" role="status">{found.length === calls.length ? `${calls.length} calls` : `${found.length} of ${calls.length} calls`}</p>
      <ol className="min-h-0 flex-1 overflow-y-auto p-2" aria-label="Tool calls">
        {nested.slice(0, shown).map(({ call, depth, context }) => (
          <Entry key={call.id} call={call} depth={depth} context={context} first={first} total={total} open={open === call.id} onToggle={setOpen} />
        ))}
        {nested.length > shown ? <li className="p-2"><Button small onClick={() => setShown(shown + page)}>Show older ones</Button></li> : null}
        {found.length === 0 ? <li className="p-3 text-sm text-ink-2">No call passes this filter.</li> : null}
      </ol>
    </div>
  );
}

interface EntryProps { call: ToolCall; depth: number; context: boolean; first: number; total: number; open: boolean; onToggle: (id: string) => void }

const Entry = memo(function Entry({ call, depth, context, first, total, open, onToggle }: EntryProps) {
  const { icon: Icon, title, subject } = lookOf(call);
  const denied = call.verdicts.some((v) => v.decision === "deny") || call.approval?.decision === "deny";
  // A call that is shown for its sub-agent's sake may have begun before the first that was found.
  const left = Math.max(0, ((call.began - first) / total) * 100);
  const width = (((call.ended ?? call.began) - Math.max(first, call.began)) / total) * 100;
  return (
    <li style={{ marginLeft: Math.min(depth, 4) * 14 }} className={depth > 0 ? "border-l-2 border-line pl-1" : ""}>
      <button type="button" aria-expanded={open} onClick={() => onToggle(open ? "" : call.id)} className="flex w-full flex-col gap-1 rounded px-2 py-1.5 text-left outline-offset-[-2px] hover:bg-sunken">
        <span className="flex w-full items-center gap-2 text-sm">
          {depth > 0 ? <span className="sr-only">In a sub-agent: </span> : null}
          <Icon size={14} aria-hidden className={cx("shrink-0", call.failed ? "text-bad" : "text-ink-2")} />
          <span className={cx("shrink-0", context ? "text-ink-3" : "font-medium")}>{title}</span>
          <span className="min-w-0 flex-1 truncate font-mono text-xs text-ink-2">{subject}</span>
          {denied ? <Badge tone="bad">denied</Badge> : call.verdicts.length > 0 ? <Badge tone="warn">{call.verdicts.length === 1 ? "verdict" : `${call.verdicts.length} verdicts`}</Badge> : null}
          {call.ended === undefined ? <Running since={call.began} /> : <span className="shrink-0 text-xs text-ink-3 tabular-nums">{call.cutOff ? "cut off" : duration(call.ended - call.began)}</span>}
        </span>
        <span aria-hidden className="relative h-1 w-full rounded-full bg-sunken">
          <span className={cx("absolute h-full min-w-1 rounded-full", call.failed ? "bg-bad" : "bg-accent")} style={{ left: `${Math.min(99, left)}%`, width: `${Math.min(width, 100 - left)}%` }} />
        </span>
      </button>
      {open ? <div className="px-2 pb-2"><ToolCard call={call} /></div> : null}
    </li>
  );
});
