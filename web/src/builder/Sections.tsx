import { Plus } from "lucide-react";
import { useState } from "react";
import type { Tool } from "@/app/types";
import { Button } from "@/ui/button";
import { Checkbox } from "@/ui/checkbox";
import { Field, Input, Select } from "@/ui/field";
import { Notice } from "@/ui/notice";
import { Entry, LinesField, LongField, NameInput, NumberField, PairsField, Section, TextField } from "./fields";
import type { Form } from "./form";
import { ToolPicker } from "./ToolPicker";
import type { Prompt, Server } from "./view";

const orNone = (text: string) => text === "" ? undefined : text;
const modelNames = ["sonnet", "opus", "haiku"];

export function IdentitySection({ form }: { form: Form }) {
  const { view, edit, error } = form;
  return (
    <Section id="identity" title="What it is">
      <div className="grid gap-3 sm:grid-cols-2">
        <TextField label="Id" required mono value={view.id} error={error(["id"])} hint="a-z, 0-9, _ and -" onChange={(v) => edit(["id"], orNone(v))} />
        <TextField label="Name" required value={view.name} error={error(["name"])} onChange={(v) => edit(["name"], orNone(v))} />
      </div>
      <TextField label="Description" value={view.description} error={error(["description"])} onChange={(v) => edit(["description"], orNone(v))} />
      <TextField label="Version" mono value={view.version} error={error(["version"])} placeholder="1.0.0" onChange={(v) => edit(["version"], orNone(v))} />
    </Section>
  );
}

export function ToolsSection({ form, tools }: { form: Form; tools: Tool[] }) {
  const { view, edit, error } = form;
  return (
    <Section id="tools" title="Tools" hint="What the agent may use without asking. Rules on their arguments belong into the tools policy.">
      {error(["allowed_tools"], true) ? <Notice tone="bad">{error(["allowed_tools"], true)}</Notice> : null}
      <ToolPicker tools={tools} chosen={view.tools} what="the agent" onChange={(next) => edit(["allowed_tools"], next)} />
      <Field label="Permission mode" error={error(["permission_mode"])}>
        {(control) => (
          <Select {...control} value={view.permissionMode} onChange={(e) => edit(["permission_mode"], orNone(e.target.value))}>
            <option value="">The host's default</option><option value="default">default: asks before it changes anything</option><option value="acceptEdits">acceptEdits: edits files without asking</option>
            <option value="plan">plan: reads and plans only</option><option value="bypassPermissions">bypassPermissions: asks nothing; policies still hold</option>
          </Select>
        )}
      </Field>
    </Section>
  );
}

export function PromptSection({ form }: { form: Form }) {
  const { view: { prompt }, edit, error } = form;
  const kinds: Record<Prompt["kind"], unknown> = { none: undefined, preset: { type: "preset", preset: "claude_code" }, text: prompt.kind === "preset" ? prompt.append : "" };
  return (
    <Section id="prompt" title="System prompt">
      <Field label="Prompt" error={error(["system_prompt"])}>
        {(control) => (
          <Select {...control} value={prompt.kind} onChange={(e) => edit(["system_prompt"], kinds[e.target.value as Prompt["kind"]])}>
            <option value="none">Claude Code&apos;s own</option><option value="preset">Claude Code&apos;s own, and more</option><option value="text">Another in its place</option>
          </Select>
        )}
      </Field>
      {prompt.kind === "preset" ? <LongField label="Added to it" rows={10} value={prompt.append} error={error(["system_prompt", "append"])} onChange={(v) => edit(["system_prompt", "append"], orNone(v))} /> : null}
      {prompt.kind === "text" ? <LongField label="The whole prompt" rows={10} value={prompt.text} error={error(["system_prompt"])} onChange={(v) => edit(["system_prompt"], v)} /> : null}
    </Section>
  );
}

/** A new name that is not taken: agent, agent-2, … */
export function freeName(base: string, taken: string[]): string {
  if (!taken.includes(base)) return base;
  let n = 2;
  while (taken.includes(`${base}-${n}`)) n++;
  return `${base}-${n}`;
}

export function AgentsSection({ form, tools }: { form: Form; tools: Tool[] }) {
  const { view, edit, rename, error } = form;
  const names = view.agents.map(([name]) => name);
  return (
    <Section id="agents" title="Sub-agents" hint="Specialists that the agent calls with the Task tool. Each has its own prompt, tools and model.">
      {error(["agents"]) ? <Notice tone="bad">{error(["agents"])}</Notice> : null}
      {view.agents.map(([name, a], i) => (
        <Entry key={i} title={name} onRemove={() => edit(["agents", name], undefined)}>
          <div className="grid gap-3 sm:grid-cols-2">
            <NameInput label="Name" value={name} taken={names} error={error(["agents", name])} onRename={(to) => rename(["agents", name], to)} />
            <TextField label="Model" mono value={a.model} placeholder="inherit" list="builder-models" error={error(["agents", name, "model"])} onChange={(v) => edit(["agents", name, "model"], orNone(v))} />
          </div>
          <TextField label="Description" required hint="The agent reads it to know when to call it." value={a.description} error={error(["agents", name, "description"])} onChange={(v) => edit(["agents", name, "description"], v)} />
          <LongField label="Prompt" required value={a.prompt} error={error(["agents", name, "prompt"])} onChange={(v) => edit(["agents", name, "prompt"], v)} />
          <details>
            <summary className="cursor-pointer text-sm text-ink-2">Tools: {a.tools.join(", ") || "all of the agent's"}</summary>
            <div className="pt-3">{error(["agents", name, "tools"], true) ? <Notice tone="bad" className="mb-2">{error(["agents", name, "tools"], true)}</Notice> : null}<ToolPicker tools={tools} chosen={a.tools} what={name} onChange={(next) => edit(["agents", name, "tools"], next.length > 0 ? next : undefined)} /></div>
          </details>
        </Entry>
      ))}
      <Button className="self-start" onClick={() => edit(["agents", freeName("specialist", names)], { description: "What it is for", prompt: "You are a specialist." })}><Plus size={15} aria-hidden />Add a sub-agent</Button>
      <datalist id="builder-models">{[...modelNames, "inherit"].map((m) => <option key={m} value={m} />)}</datalist>
    </Section>
  );
}

export function ServersSection({ form }: { form: Form }) {
  const { view, edit, error } = form;
  const names = view.servers.map(([name]) => name);
  return (
    <Section id="servers" title="MCP servers" hint="Configuring a server allows all its tools. Leave a credential's value empty to ask for it at every launch.">
      {error(["mcp_servers"]) ? <Notice tone="bad">{error(["mcp_servers"])}</Notice> : null}
      {view.servers.map(([name, server], i) => <ServerEntry key={i} form={form} name={name} server={server} names={names} />)}
      <Button className="self-start" onClick={() => edit(["mcp_servers", freeName("server", names)], { command: "npx", args: ["-y", "package"] })}><Plus size={15} aria-hidden />Add an MCP server</Button>
    </Section>
  );
}

function ServerEntry({ form, name, server, names }: { form: Form; name: string; server: Server; names: string[] }) {
  const { edit, rename, error } = form;
  const at = ["mcp_servers", name];
  const to = (type: string) => edit(at, type === "stdio" ? { command: server.command || "npx", args: server.args } : { type, url: server.url || "https://" });
  const pairs = (field: "env" | "headers") => ({
    pairs: server[field], error: (key: string) => error([...at, field, key]), onSet: (key: string, value: string) => edit([...at, field, key], value),
    onRename: (from: string, next: string) => rename([...at, field, from], next), onRemove: (key: string) => edit([...at, field, key], undefined),
  });
  return (
    <Entry title={name} onRemove={() => edit(at, undefined)}>
      <div className="grid gap-3 sm:grid-cols-2">
        <NameInput label="Name" value={name} taken={names} error={error(at)} onRename={(next) => rename(at, next)} />
        <Field label="Reached by" error={error([...at, "type"])}>
          {(control) => <Select {...control} value={server.type} onChange={(e) => to(e.target.value)}><option value="stdio">stdio: a command in the sandbox</option><option value="http">http: a URL</option><option value="sse">sse: a URL, older servers</option></Select>}
        </Field>
      </div>
      {server.type === "stdio" ? (
        <>
          <TextField label="Command" required mono value={server.command} error={error([...at, "command"])} onChange={(v) => edit([...at, "command"], v)} />
          <LinesField label="Arguments" hint="One a line." value={server.args} error={error([...at, "args"], true)} onChange={(next) => edit([...at, "args"], next.length > 0 ? next : undefined)} />
          <PairsField legend="Environment" noun="variable" {...pairs("env")} />
        </>
      ) : (
        <>
          <TextField label="URL" required mono value={server.url} error={error([...at, "url"])} onChange={(v) => edit([...at, "url"], v)} />
          <PairsField legend="Headers" noun="header" {...pairs("headers")} />
        </>
      )}
    </Entry>
  );
}

export function RunSection({ form }: { form: Form }) {
  const { view, edit, rename, error } = form;
  const sources = ["project", "local", "user"];
  return (
    <Section id="run" title="Limits and surroundings">
      <div className="grid gap-3 sm:grid-cols-3">
        <NumberField label="CPUs" min={0.1} step={0.5} placeholder="default" value={view.cpuQuota === undefined ? undefined : view.cpuQuota / 100_000} error={error(["resource_limits", "cpu_quota"])} onChange={(n) => edit(["resource_limits", "cpu_quota"], n === undefined ? undefined : Math.round(n * 100_000))} />
        <TextField label="Memory" mono placeholder="4g" value={view.memory} error={error(["resource_limits", "memory_limit"])} onChange={(v) => edit(["resource_limits", "memory_limit"], orNone(v))} />
        <TextField label="Disk" mono placeholder="10g" value={view.storage} error={error(["resource_limits", "storage_limit"])} onChange={(v) => edit(["resource_limits", "storage_limit"], orNone(v))} />
        <NumberField label="Round trips a turn" min={1} max={1000} step={1} placeholder="default" value={view.maxTurns} error={error(["max_turns"])} onChange={(n) => edit(["max_turns"], n)} />
        <TextField label="Model" mono placeholder="default" list="builder-models" value={view.model} error={error(["model"])} onChange={(v) => edit(["model"], orNone(v))} />
        <TextField label="Works in" mono placeholder="/workspace" value={view.cwd} error={error(["cwd"])} onChange={(v) => edit(["cwd"], orNone(v))} />
      </div>
      <fieldset>
        <legend className="mb-1 text-sm font-medium">Setting sources</legend>
        <p className="mb-1 text-xs text-ink-3">Which settings, CLAUDE.md files and skills of Claude Code are read from the sandbox.</p>
        <div className="flex gap-4">
          {sources.map((s) => (
            <span key={s} className="flex items-center gap-2 text-sm">
              <Checkbox label={`Setting source ${s}`} checked={view.settingSources.includes(s)} onChange={(on) => { const next = on ? [...view.settingSources, s] : view.settingSources.filter((o) => o !== s); edit(["setting_sources"], next.length > 0 ? next : undefined); }} />{s}
            </span>
          ))}
        </div>
        {error(["setting_sources"], true) ? <p role="alert" className="text-xs text-bad">{error(["setting_sources"], true)}</p> : null}
      </fieldset>
      <PairsField
        legend="Environment of the sandbox" noun="variable" hint="No place for credentials: everybody who may read the configuration can read them." pairs={view.env} error={(key) => error(["env", key])}
        onSet={(key, value) => edit(["env", key], value)} onRename={(from, to) => rename(["env", from], to)} onRemove={(key) => edit(["env", key], undefined)}
      />
    </Section>
  );
}

export function NetworkSection({ form }: { form: Form }) {
  const { view, edit, error } = form;
  return (
    <Section id="network" title="Network" hint="Where the agent may connect to. The operator's rule must allow it, too.">
      <Field label="Egress" error={error(["network", "egress"]) ?? error(["network"])}>
        {(control) => (
          <Select {...control} value={view.egress} onChange={(e) => edit(["network", "egress"], orNone(e.target.value))}>
            <option value="">Not set (open)</option><option value="none">none: nothing but the model</option><option value="allowlist">allowlist: only the hosts below</option><option value="open">open: every public host</option>
          </Select>
        )}
      </Field>
      {view.egress === "allowlist" || view.allow.length > 0 ? <LinesField label="Hosts" hint="One a line: git.example.org, *.example.org, git.example.org:443." value={view.allow} error={error(["network", "allow"], true)} onChange={(next) => edit(["network", "allow"], next.length > 0 ? next : undefined)} /> : null}
    </Section>
  );
}

export function FiltersField({ form, known }: { form: Form; known: string[] }) {
  const { view, edit, error } = form;
  const [other, setOther] = useState("");
  const set = (next: string[]) => edit(["filters"], next.length > 0 ? next : undefined);
  const names = [...new Set([...known, ...view.filters])];
  return (
    <fieldset className="flex flex-col gap-2">
      <legend className="mb-1 text-sm font-medium">Filters</legend>
      <p className="text-xs text-ink-3">Plugins that see every tool call and result after the policies, in the order in which they are chosen. The operator&apos;s come first.</p>
      <div className="flex flex-wrap gap-4">
        {names.map((f) => <span key={f} className="flex items-center gap-2 font-mono text-xs"><Checkbox label={`Filter ${f}`} checked={view.filters.includes(f)} onChange={(on) => set(on ? [...view.filters, f] : view.filters.filter((o) => o !== f))} />{f}</span>)}
      </div>
      {error(["filters"], true) ? <p role="alert" className="text-xs text-bad">{error(["filters"], true)}</p> : null}
      <div className="flex gap-2">
        <Input aria-label="Another filter" placeholder="Another filter" spellCheck={false} className="max-w-56 font-mono text-xs" value={other} onChange={(e) => setOther(e.target.value)} />
        <Button disabled={!other.trim() || view.filters.includes(other.trim())} onClick={() => { set([...view.filters, other.trim()]); setOther(""); }}>Add</Button>
      </div>
    </fieldset>
  );
}
