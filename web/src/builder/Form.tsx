import { useTools } from "@/app/catalog";
import type { Health, PolicyDetails } from "@/app/types";
import { Notice } from "@/ui/notice";
import { DryRun } from "./DryRun";
import type { Form } from "./form";
import { PoliciesSection } from "./PoliciesSection";
import { AgentsSection, IdentitySection, NetworkSection, PromptSection, RunSection, ServersSection, ToolsSection } from "./Sections";
import { fallbackTools } from "./tools";

const parts: [string, string][] = [
  ["identity", "Name"], ["tools", "Tools"], ["prompt", "Prompt"], ["agents", "Sub-agents"], ["servers", "MCP"], ["run", "Limits"], ["network", "Network"], ["policies", "Policies"], ["dryrun", "Dry run"],
];

/** The configuration as a form. While its text can't be read the form shows the last one that could, and changes nothing. */
export function ConfigForm({ form, value, id, health, policies }: {
  form: Form; value: Record<string, unknown> | undefined; id: string | undefined; health: Health | undefined; policies: PolicyDetails[] | undefined;
}) {
  const tools = useTools().data ?? fallbackTools;
  const readable = value !== undefined;
  return (
    <div className="flex h-full min-h-0 flex-col">
      <nav aria-label="Parts of the configuration" className="flex shrink-0 gap-1 overflow-x-auto border-b border-line px-3 py-1.5">
        {parts.map(([id, title]) => (
          <button key={id} type="button" className="shrink-0 rounded px-2 py-1 text-xs text-ink-2 hover:bg-sunken hover:text-ink" onClick={() => document.getElementById(`part-${id}`)?.scrollIntoView({ block: "start" })}>{title}</button>
        ))}
      </nav>
      {readable ? null : <Notice tone="warn" className="rounded-none">The YAML can&apos;t be read now; this is what it said before. Mend the marked line and the form goes on.</Notice>}
      <fieldset disabled={!readable} aria-label="Configuration" className="min-h-0 flex-1 overflow-y-auto disabled:opacity-60">
        <IdentitySection form={form} />
        <ToolsSection form={form} tools={tools} />
        <PromptSection form={form} />
        <AgentsSection form={form} tools={tools} />
        <ServersSection form={form} />
        <RunSection form={form} />
        <NetworkSection form={form} />
        <PoliciesSection form={form} known={policies} names={(health?.policies ?? []).map((p) => p.name)} filters={(health?.plugins ?? []).filter((p) => p.kind === "filter").map((p) => p.name)} />
        <DryRun config={value} id={id} tools={tools.map((t) => t.name)} />
      </fieldset>
    </div>
  );
}
