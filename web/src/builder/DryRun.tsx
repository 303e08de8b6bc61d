import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { request } from "@/api/client";
import { isMissing, useProviders } from "@/app/catalog";
import { withoutHidden } from "@/launch/credentials";
import { Badge, type Tone } from "@/ui/badge";
import { Button } from "@/ui/button";
import { Field, Input, Select, TextArea } from "@/ui/field";
import { Notice, ProblemNotice } from "@/ui/notice";
import { Section } from "./fields";

interface Step { by: string; verdict: string; reason?: string }
interface Answer extends Step { steps?: Step[] | null; rewrite?: unknown }

export const verdictTones: Readonly<Record<string, Tone>> = { allow: "good", deny: "bad", ask: "warn", rewrite: "accent" };

/** Asks the host's guard whether a call would be allowed under the configuration as it is written now. Nothing is run. */
export function DryRun({ config, id, tools }: {
  config: Record<string, unknown> | undefined;
  /** Of a configuration that is kept as it is written. */
  id: string | undefined;
  tools: string[];
}) {
  const [gate, setGate] = useState("tool.call");
  const [tool, setTool] = useState("Bash");
  const [args, setArgs] = useState('{"command": "git push origin main"}');
  const [path, setPath] = useState("/workspace/.git/hooks/pre-commit");
  const [op, setOp] = useState("write");
  const [host, setHost] = useState("example.org");
  const [port, setPort] = useState("443");
  const [provider, setProvider] = useState("");
  const providers = useProviders().data?.providers ?? [];
  const parsed = json(args);
  const check = useMutation({
    mutationFn: async () => {
      const what = gate === "tool.call" ? { tool, arguments: parsed?.value ?? {} } : gate === "path.access" ? { path, op } : gate === "network.connect" ? { host, port: Number(port) } : provider ? { provider } : {};
      const whose = id === undefined ? { config: withoutHidden(config ?? {}) } : { config_id: id };
      const answer = await request("/api/policies/check", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ ...whose, gate, ...what }) });
      return (await answer.json()) as Answer;
    },
  });
  return (
    <Section id="dryrun" title="Would it be allowed?" hint="The host's own guard decides, as in a session. Nothing is run.">
      <form className="flex flex-col gap-3" onSubmit={(e) => { e.preventDefault(); check.mutate(); }}>
        <Field label="What happens">
          {(control) => <Select {...control} value={gate} onChange={(e) => { setGate(e.target.value); check.reset(); }}><option value="tool.call">The agent calls a tool</option><option value="path.access">A file is read or written</option><option value="network.connect">A host is connected to</option><option value="agent.launch">It is launched</option></Select>}
        </Field>
        {gate === "tool.call" ? (
          <>
            <Field label="Tool">{(control) => <><Input {...control} list="dryrun-tools" value={tool} className="font-mono text-xs" onChange={(e) => setTool(e.target.value)} /><datalist id="dryrun-tools">{tools.map((t) => <option key={t} value={t} />)}</datalist></>}</Field>
            <Field label="Arguments" error={parsed ? undefined : "This is no JSON yet."}>{(control) => <TextArea {...control} rows={2} value={args} spellCheck={false} className="font-mono text-xs" onChange={(e) => setArgs(e.target.value)} />}</Field>
          </>
        ) : gate === "path.access" ? (
          <div className="grid grid-cols-[1fr_auto] gap-3">
            <Field label="Path">{(control) => <Input {...control} value={path} className="font-mono text-xs" onChange={(e) => setPath(e.target.value)} />}</Field>
            <Field label="Access">{(control) => <Select {...control} value={op} onChange={(e) => setOp(e.target.value)}><option value="read">read</option><option value="write">write</option><option value="delete">delete</option><option value="list">list</option></Select>}</Field>
          </div>
        ) : gate === "agent.launch" ? (
          <Field label="On the provider">{(control) => <Select {...control} value={provider} onChange={(e) => setProvider(e.target.value)}><option value="">The host&apos;s default</option>{providers.map((p) => <option key={p.name} value={p.name}>{p.name}</option>)}</Select>}</Field>
        ) : (
          <div className="grid grid-cols-[1fr_6rem] gap-3">
            <Field label="Host">{(control) => <Input {...control} value={host} className="font-mono text-xs" onChange={(e) => setHost(e.target.value)} />}</Field>
            <Field label="Port">{(control) => <Input {...control} type="number" min={1} max={65535} value={port} onChange={(e) => setPort(e.target.value)} />}</Field>
          </div>
        )}
        <Button type="submit" className="self-start" busy={check.isPending} disabled={!config || (gate === "tool.call" && !parsed)}>Ask the guard</Button>
      </form>
      <div aria-live="polite">
        {check.error ? isMissing(check.error) ? <Notice tone="warn">This host has no dry run: it is older than this dashboard.</Notice> : <ProblemNotice error={check.error} /> : null}
        {check.data ? <Outcome answer={check.data} /> : null}
      </div>
    </Section>
  );
}

function Outcome({ answer }: { answer: Answer }) {
  return (
    <div className="flex flex-col gap-2 rounded-md border border-line bg-surface p-3">
      <p className="flex flex-wrap items-center gap-2 text-sm"><Verdict verdict={answer.verdict} /><span>{answer.reason ?? ""}</span>{answer.by ? <span className="text-xs text-ink-3">by {answer.by}</span> : null}</p>
      {answer.rewrite ? <pre className="overflow-auto rounded bg-sunken p-2 font-mono text-xs">{JSON.stringify(answer.rewrite, null, 2)}</pre> : null}
      {answer.steps && answer.steps.length > 0 ? (
        <ol className="flex flex-col gap-1 border-t border-line pt-2 text-xs">
          {answer.steps.map((s, i) => <li key={i} className="flex items-start gap-2"><span className="w-32 shrink-0 truncate font-mono">{s.by}</span><Verdict verdict={s.verdict} /><span className="min-w-0 flex-1 break-words text-ink-2">{s.reason}</span></li>)}
        </ol>
      ) : null}
    </div>
  );
}

function Verdict({ verdict }: { verdict: string }) { return <Badge tone={verdictTones[verdict] ?? "plain"}>{verdict}</Badge>; }

function json(text: string): { value: unknown } | undefined {
  if (text.trim() === "") return { value: {} };
  try { return { value: JSON.parse(text) as unknown }; } catch { return undefined; }
}
