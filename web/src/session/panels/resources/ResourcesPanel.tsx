import { Moon } from "lucide-react";
import { useMemo, useState } from "react";
import { Badge } from "@/ui/badge";
import { bytes, timeOfDay } from "@/ui/format";
import { loadable } from "@/ui/loadable";
import { Notice, ProblemNotice } from "@/ui/notice";
import { Scroll } from "@/ui/scroll";
import { Skeleton } from "@/ui/skeleton";
import { Switch } from "@/ui/switch";
import type { Resources } from "../types";
import { useResources } from "./samples";

const Chart = loadable(() => import("./Chart"), () => <Skeleton className="h-[130px]" />);

const percent = (v: number) => `${v.toFixed(v < 10 ? 1 : 0)} %`;
const whole = (v: number) => String(Math.round(v));

interface Measure { title: string; hint: string; value: (r: Resources) => number; limit: (r: Resources) => number; format: (v: number) => string }

// The processor's percentage is of what the sandbox may use, so its limit is 100.
const measures: Measure[] = [
  { title: "CPU", hint: "of what the sandbox may use", value: (r) => r.cpu.percent, limit: (r) => (r.cpu.limit > 0 ? 100 : 0), format: percent },
  { title: "Memory", hint: "without what the kernel can drop", value: (r) => r.memory.used_bytes, limit: (r) => r.memory.limit_bytes, format: bytes },
  { title: "Disk", hint: "workspace and Claude Code's folder", value: (r) => r.disk.used_bytes, limit: (r) => r.disk.limit_bytes, format: bytes },
  { title: "Processes", hint: "processes and threads", value: (r) => r.pids.used, limit: (r) => r.pids.limit, format: whole },
];

export default function ResourcesPanel({ sessionId }: { sessionId: string }) {
  const { samples, live, problem } = useResources(sessionId);
  const [table, setTable] = useState(false);
  const now = samples.at(-1);
  const times = useMemo(() => samples.map((r) => Date.parse(r.time) / 1000), [samples]);
  if (!now) return problem ? <ProblemNotice className="m-3" error={problem} /> : <Waiting />;
  return (
    <div className="flex h-full min-h-0 flex-col">
      <div className="flex shrink-0 flex-wrap items-center gap-3 border-b border-line px-3 py-2 text-xs text-ink-2">
        <Badge tone={live && now.running ? "good" : "plain"}>{!now.running ? "asleep" : live ? "live" : "not live"}</Badge>
        {now.source ? <span>measured by the {now.source}</span> : null}
        <span className="flex-1" />
        <Switch checked={table} onChange={setTable} label={<span className="text-xs">As a table</span>} />
      </div>
      {problem ? <ProblemNotice className="m-2" error={problem} /> : null}
      {!now.running ? <Notice className="m-2"><Moon size={13} className="mr-1 inline" aria-hidden />The session has no sandbox now and uses nothing. The next message wakes it.</Notice> : null}
      {(now.oom_kills ?? 0) > 0 ? <Notice tone="warn" className="m-2">The kernel has ended {now.oom_kills} {now.oom_kills === 1 ? "process" : "processes"}: the sandbox was out of memory.</Notice> : null}
      <Scroll label="Resources" className="flex min-h-0 flex-1 flex-col gap-4 p-3">
        {table ? <Table samples={samples} /> : measures.map((m) => <One key={m.title} measure={m} samples={samples} times={times} now={now} />)}
        {table ? null : <Network now={now} />}
      </Scroll>
    </div>
  );
}

function One({ measure: m, samples, times, now }: { measure: Measure; samples: readonly Resources[]; times: readonly number[]; now: Resources }) {
  const values = useMemo(() => samples.map(m.value), [samples, m]);
  const limit = m.limit(now);
  const value = m.value(now);
  const high = limit > 0 && value / limit > 0.9;
  return (
    <section aria-label={m.title} className="rounded-lg border border-line bg-surface p-3">
      <h3 className="flex items-baseline gap-2 text-sm font-medium">
        {m.title}<span className="text-xs font-normal text-ink-3">{m.hint}</span>
        <span className={`ml-auto text-sm tabular-nums ${high ? "text-bad" : ""}`}>{m.format(value)}{limit > 0 && m.title !== "CPU" ? <span className="text-ink-3"> of {m.format(limit)}</span> : null}</span>
      </h3>
      <p className="text-xs text-ink-3">
        {m.title === "CPU" ? (now.cpu.limit > 0 ? `${now.cpu.limit} ${now.cpu.limit === 1 ? "processor" : "processors"}` : `no limit, ${now.cpu.count} processors`) : limit > 0 ? `${percent((100 * value) / limit)} used` : "no limit"}
        , highest seen {m.format(Math.max(...values))}
      </p>
      <Chart times={times} values={values} limit={limit} format={m.format} />
    </section>
  );
}

function Network({ now }: { now: Resources }) {
  const { rx_bytes: rx, tx_bytes: tx } = now.network;
  return <p className="text-xs text-ink-3">Network of its own: {rx === null || tx === null ? "not known" : `${bytes(rx)} in, ${bytes(tx)} out`}. What goes through the host&apos;s tunnel is not in it.</p>;
}

/** The newest measurements in figures, the newest first. */
function Table({ samples }: { samples: readonly Resources[] }) {
  return (
    <table className="w-full text-xs tabular-nums">
      <caption className="sr-only">What the session uses, the newest first</caption>
      <thead><tr className="border-b border-line text-left">{["Time", ...measures.map((m) => m.title)].map((h) => <th key={h} scope="col" className="py-1 pr-3 font-medium">{h}</th>)}</tr></thead>
      <tbody>
        {samples.slice(-60).reverse().map((r) => (
          <tr key={r.time} className="border-b border-line">
            <th scope="row" className="py-1 pr-3 text-left font-normal text-ink-3">{timeOfDay(Date.parse(r.time))}</th>
            {measures.map((m) => <td key={m.title} className="py-1 pr-3">{r.running ? m.format(m.value(r)) : "asleep"}</td>)}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Waiting() {
  return (
    <div className="flex flex-col gap-4 p-3">
      <span className="sr-only" role="status">Measuring</span>
      {measures.map((m) => <Skeleton key={m.title} className="h-44" />)}
    </div>
  );
}
