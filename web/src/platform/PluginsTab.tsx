import { Plug } from "lucide-react";
import { useState } from "react";
import { usePluginLogs, usePlugins } from "@/app/catalog";
import type { PluginDetails } from "@/app/types";
import { Badge, type Tone } from "@/ui/badge";
import { useNow } from "@/ui/clock";
import { cx } from "@/ui/cx";
import { Empty } from "@/ui/empty";
import { ago, duration } from "@/ui/format";
import { Notice } from "@/ui/notice";
import { Card, Fact, Loaded, said } from "./parts";

const tones: Readonly<Record<string, Tone>> = { running: "good", restarting: "warn", failed: "bad" };

export function PluginsTab() {
  const plugins = usePlugins();
  return (
    <Loaded query={plugins} what="list of plugins">
      {(list) => list.length === 0 ? <Empty icon={Plug} title="No plugin is installed">Providers, filters and exporters are programs in the host&apos;s folder of plugins.</Empty> : (
        <div className="grid gap-3 p-4 xl:grid-cols-2">{list.map((p) => <PluginCard key={`${p.kind} ${p.name}`} plugin={p} />)}</div>
      )}
    </Loaded>
  );
}

function PluginCard({ plugin: p }: { plugin: PluginDetails }) {
  const [logs, setLogs] = useState(false);
  const now = useNow(5000);
  const started = Date.parse(p.started_at ?? "");
  const options = Object.entries(p.options ?? {});
  return (
    <Card title={p.name} badge={<><Badge>{p.kind}</Badge><Badge tone={tones[p.state] ?? "plain"}>{p.state}</Badge>{p.version ? <span className="text-xs font-normal text-ink-3">{p.version}</span> : null}</>}>
      {p.last_error ? <Notice tone="warn" className="mb-2">{p.last_error}</Notice> : null}
      <dl>
        <Fact name="Running for">{Number.isNaN(started) ? p.state === "stopped" ? "not yet: it starts at its first use" : "—" : <>{duration(Math.max(0, now - started))} <span className="text-ink-3">(process {p.pid ?? "—"})</span></>}</Fact>
        <Fact name="Restarts">{p.restarts ?? 0}</Fact>
        <Fact name="Can">{p.capabilities?.join(", ") || "nothing beyond its kind"}</Fact>
        {options.length > 0 ? options.map(([name, value]) => <Fact key={name} name={name}><code className="font-mono text-xs">{said(value)}</code>{p.options_schema?.properties?.[name]?.description ? <span className="block text-xs text-ink-3">{p.options_schema.properties[name].description}</span> : null}</Fact>) : <Fact name="Options">none are set</Fact>}
      </dl>
      <details className="mt-2" onToggle={(e) => setLogs(e.currentTarget.open)}>
        <summary className="cursor-pointer text-sm text-ink-2">Log</summary>
        {logs ? <Logs name={p.name} /> : null}
      </details>
    </Card>
  );
}

function Logs({ name }: { name: string }) {
  const logs = usePluginLogs(name);
  return (
    <Loaded query={logs} what={`log of ${name}`}>
      {(lines) => lines.length === 0 ? <p className="py-2 text-xs text-ink-3">It has written nothing.</p> : (
        <div className="mt-2 max-h-64 overflow-auto rounded bg-sunken p-2 font-mono text-xs leading-5" role="log" aria-label={`Log of ${name}`}>
          {lines.map((l, i) => (
            <div key={i} className="flex gap-2">
              <time dateTime={l.time} title={l.time} className="shrink-0 text-ink-3">{ago(l.time)}</time>
              <span className={cx("w-12 shrink-0", l.level === "error" ? "text-bad" : l.level === "warn" ? "text-warn" : "text-ink-3")}>{l.level}</span>
              <span className="min-w-0 break-words whitespace-pre-wrap">{l.message}</span>
            </div>
          ))}
        </div>
      )}
    </Loaded>
  );
}
