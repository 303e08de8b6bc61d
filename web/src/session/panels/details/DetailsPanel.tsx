import { useQuery } from "@tanstack/react-query";
import { Copy } from "lucide-react";
import type { ReactNode } from "react";
import { Button, IconButton } from "@/ui/button";
import { Badge } from "@/ui/badge";
import { ago, count, dateTime, dollars, duration } from "@/ui/format";
import { ProblemNotice } from "@/ui/notice";
import { Scroll } from "@/ui/scroll";
import { Skeleton } from "@/ui/skeleton";
import { copy } from "../../text/CopyButton";
import { useNow } from "../../useNow";
import { getJSON, useSession } from "../data";
import { visible } from "../name";
import type { Session } from "../types";

interface Plugins { plugins: { name: string; kind: string; version: string; state?: string }[] | null }

export default function DetailsPanel({ sessionId }: { sessionId: string }) {
  const session = useSession(sessionId);
  const plugins = useQuery({ queryKey: ["plugins"], queryFn: ({ signal }) => getJSON<Plugins>("/api/plugins", signal), staleTime: 60_000 });
  const s = session.data;
  if (!s) return session.error ? <ProblemNotice className="m-3" error={session.error} action={<Button small onClick={() => void session.refetch()}>Try again</Button>} /> : <Skeleton className="m-3 h-64" />;
  return (
    <Scroll label="Details" className="flex h-full flex-col gap-4 p-3">
      <Section title="Session">
        <Fact name="Session" copy={s.session_id} mono>{s.session_id}</Fact>
        <Fact name="Agent" copy={s.agent_id} mono>{s.agent_id}</Fact>
        {s.title ? <Fact name="Title">{visible(s.title)}</Fact> : null}
        <Fact name="Status"><Badge tone={s.status === "running" ? "good" : s.status === "failed" ? "bad" : "plain"}>{s.status}</Badge>{s.activity ? ` ${s.activity}` : ""}{s.reason ? <span className="text-ink-2"> {s.reason}</span> : null}</Fact>
        <Fact name="Launched">{when(s.created_at)}</Fact>
        <Fact name="Last active">{when(s.last_active)}</Fact>
        {s.idle_expires_at ? <Fact name="Freed when idle"><Countdown to={s.idle_expires_at} /></Fact> : null}
        <Fact name="Turns">{s.turns ?? s.turn ?? 0}</Fact>
      </Section>
      <Section title="Where it runs">
        <Fact name="Provider">{s.provider}</Fact>
        {s.start ? <Fact name="Start">{s.start}{s.start_reason ? <span className="text-ink-2">: {s.start_reason}</span> : null}</Fact> : null}
      </Section>
      <Section title="Limits as enforced">
        {Object.entries(s.limits ?? {}).map(([name, how]) => <Fact key={name} name={words(name)}>{text(how)}</Fact>)}
        {Object.keys(s.limits ?? {}).length === 0 ? <Nothing>The provider tells none while there is no sandbox.</Nothing> : null}
      </Section>
      <Section title="Usage and cost">
        <Fact name="Cost">{dollars(s.cost_usd ?? 0)} <span className="text-ink-3">as Claude Code reckons it</span></Fact>
        {Object.entries(s.usage ?? {}).filter(([, v]) => typeof v === "number").map(([name, v]) => <Fact key={name} name={words(name)}>{count(v as number)}</Fact>)}
      </Section>
      <Section title="Policies" copy={s.policies ? JSON.stringify(s.policies, null, 2) : undefined}>
        {(s.policies ?? []).map((p, i) => (
          <div key={`${i}${p.name}`} className="border-t border-line py-2 first:border-0">
            <Fact name={p.name} copy={p.digest} mono>{p.digest}</Fact>
            {p.params !== undefined && p.params !== null && Object.keys(p.params).length > 0 ? <Json value={p.params} label={`Parameters of ${p.name}`} /> : null}
          </div>
        ))}
        {(s.policies ?? []).length === 0 ? <Nothing>No policy is asked.</Nothing> : null}
      </Section>
      {plugins.data?.plugins ? (
        <Section title="Plugins of the host">
          {plugins.data.plugins.map((p) => <Fact key={`${p.kind}/${p.name}`} name={p.name}>{p.kind} {p.version}{p.state && p.state !== "running" ? <Badge tone="warn" className="ml-2">{p.state}</Badge> : null}</Fact>)}
        </Section>
      ) : null}
      <Section title={`Configuration: ${s.config_id}`} copy={s.config ? JSON.stringify(s.config, null, 2) : undefined}>
        {s.config ? <Json value={s.config} label="Configuration" /> : <Nothing>The host tells none.</Nothing>}
      </Section>
      <div><Button small onClick={() => { copyText(JSON.stringify(withoutConfig(s), null, 2), "the details"); }}><Copy size={13} aria-hidden />Copy all as JSON</Button></div>
    </Scroll>
  );
}

function withoutConfig(s: Session): Partial<Session> {
  const { config, ...rest } = s;
  return config ? { ...rest, config } : rest;
}

function copyText(value: string, what: string) { void copy(value, what); }

function words(name: string): string {
  const said = name.replaceAll("_", " ");
  return said.charAt(0).toUpperCase() + said.slice(1);
}

function text(value: unknown): string { return typeof value === "string" ? value : JSON.stringify(value); }

function when(time: string) { return <time dateTime={time} title={time}>{dateTime(Date.parse(time))} <span className="text-ink-3">({ago(time)})</span></time>; }

/** How long until a time, counted down. */
function Countdown({ to }: { to: string }) {
  const left = Date.parse(to) - useNow(1_000);
  return <time dateTime={to} title={to} className="tabular-nums">{left > 0 ? `in ${duration(left)}` : "now"}</time>;
}

function Section({ title, copy, children }: { title: string; copy?: string | undefined; children: ReactNode }) {
  return (
    <section aria-label={title} className="rounded-lg border border-line bg-surface">
      <h3 className="flex h-9 items-center border-b border-line px-3 text-sm font-medium">
        <span className="flex-1">{title}</span>
        {copy === undefined ? null : <IconButton small label={`Copy ${title.toLowerCase()}`} onClick={() => copyText(copy, title.toLowerCase())}><Copy size={14} /></IconButton>}
      </h3>
      <div className="px-3 py-1.5">{children}</div>
    </section>
  );
}

function Fact({ name, copy, mono = false, children }: { name: string; copy?: string; mono?: boolean; children: ReactNode }) {
  return (
    <dl className="grid grid-cols-[9rem_minmax(0,1fr)_auto] items-center gap-2 py-1 text-sm">
      <dt className="text-xs text-ink-2">{name}</dt>
      <dd className={`min-w-0 [overflow-wrap:anywhere] ${mono ? "font-mono text-xs" : ""}`}>{children}</dd>
      {copy === undefined ? null : <dd><IconButton small label={`Copy ${name}`} onClick={() => copyText(copy, name)}><Copy size={14} /></IconButton></dd>}
    </dl>
  );
}

function Nothing({ children }: { children: ReactNode }) { return <p className="py-1 text-sm text-ink-3">{children}</p>; }

function Json({ value, label }: { value: unknown; label: string }) {
  return <Scroll label={label} className="max-h-96 rounded-md bg-sunken"><pre className="p-2.5 font-mono text-xs whitespace-pre-wrap [overflow-wrap:anywhere]">{JSON.stringify(value, null, 2)}</pre></Scroll>;
}
