import { Gauge, Globe, Plug, ShieldCheck, Users, Wrench, type LucideIcon } from "lucide-react";
import { RadioGroup } from "radix-ui";
import type { ReactNode } from "react";
import type { Config, Summary } from "@/app/types";
import { Badge } from "@/ui/badge";
import { Skeleton } from "@/ui/skeleton";
import { limitsOf, networkOf } from "./facts";

/** A configuration to choose. details comes after the summary and has its place kept. */
export function PresetCard({ summary, details }: { summary: Summary; details: Config | undefined }) {
  return (
    <RadioGroup.Item
      value={summary.id} aria-label={summary.name}
      className="group flex w-full flex-col gap-2 rounded-lg border border-line bg-surface p-3.5 text-left transition-colors hover:border-line-strong data-[state=checked]:border-accent data-[state=checked]:bg-accent-soft/40 data-[state=checked]:ring-1 data-[state=checked]:ring-accent"
    >
      <span className="flex w-full items-center gap-2">
        <span className="min-w-0 flex-1 truncate font-semibold">{summary.name}</span>
        {summary.custom ? <Badge tone="accent">own</Badge> : null}
        {summary.permission_mode === "bypassPermissions" ? <Badge tone="warn">asks nothing</Badge> : null}
      </span>
      <span className="line-clamp-2 min-h-[2.5rem] text-sm text-ink-2">{summary.description || "No description."}</span>
      <span className="flex w-full flex-col gap-1 max-sm:hidden group-data-[state=checked]:flex">
        <Fact icon={Wrench} name="Tools">{(summary.allowed_tools ?? []).join(", ") || "none"}</Fact>
        {details ? <Facts config={details} /> : <><Skeleton className="h-5 w-3/4" /><Skeleton className="h-5 w-1/2" /><Skeleton className="h-5 w-2/3" /></>}
      </span>
    </RadioGroup.Item>
  );
}

function Facts({ config }: { config: Config }) {
  const agents = Object.entries(config.agents ?? {});
  const servers = Object.keys(config.mcp_servers ?? {});
  const guards = [...(config.policies ?? []).map((p) => p.name), ...(config.filters ?? [])];
  return (
    <>
      <Fact icon={Gauge} name="Limits">{limitsOf(config).join(" · ") || "the host's defaults"}</Fact>
      <Fact icon={Globe} name="Network">{networkOf(config)}</Fact>
      {agents.length > 0 ? <Fact icon={Users} name="Sub-agents">{agents.map(([name, a]) => a.model ? `${name} (${a.model})` : name).join(", ")}</Fact> : null}
      {servers.length > 0 ? <Fact icon={Plug} name="MCP servers">{servers.join(", ")}</Fact> : null}
      <Fact icon={ShieldCheck} name="Policies and filters">{guards.join(", ") || "the operator's only"}</Fact>
    </>
  );
}

function Fact({ icon: Icon, name, children }: { icon: LucideIcon; name: string; children: ReactNode }) {
  return (
    <span className="flex items-start gap-2 text-xs leading-5 text-ink-2">
      <Icon size={13} className="mt-1 shrink-0 text-ink-3" aria-hidden />
      <span className="sr-only">{name}:</span>
      <span className="min-w-0 flex-1 break-words">{children}</span>
    </span>
  );
}

export function PresetSkeletons() {
  return (
    <>
      {[0, 1, 2, 3].map((i) => (
        <div key={i} className="flex flex-col gap-2 rounded-lg border border-line bg-surface p-3.5">
          <Skeleton className="h-5 w-1/2" /><Skeleton className="h-10 w-full" /><Skeleton className="h-24 w-full max-sm:hidden" />
        </div>
      ))}
    </>
  );
}

