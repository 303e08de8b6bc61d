import { ShieldCheck } from "lucide-react";
import { usePolicies } from "@/app/catalog";
import { useHealth } from "@/app/health";
import type { PolicyDetails, Schema } from "@/app/types";
import { Badge } from "@/ui/badge";
import { Empty } from "@/ui/empty";
import { isMissing } from "@/app/catalog";
import { Notice } from "@/ui/notice";
import { Card, Fact, Loaded, said } from "./parts";

export function PoliciesTab() {
  const policies = usePolicies();
  const { data: health } = useHealth();
  // An older host tells the names, gates and digests in its health.
  const older: PolicyDetails[] | undefined = isMissing(policies.error) && health?.policies ? health.policies : undefined;
  return (
    <Loaded query={older ? { data: older, error: null, refetch: policies.refetch } : policies} what="list of policies">
      {(list) => (
        <>
          {older ? <Notice className="m-4 mb-0">This host tells no parameters and verdict counts of its policies: it is older than this dashboard.</Notice> : null}
          {list.length === 0 ? <Empty icon={ShieldCheck} title="No policy is installed">Policies are WebAssembly modules in the host&apos;s folder of policies.</Empty> : (
            <div className="grid gap-3 p-4 xl:grid-cols-2">{list.map((p) => <PolicyCard key={p.name} policy={p} />)}</div>
          )}
        </>
      )}
    </Loaded>
  );
}

function PolicyCard({ policy: p }: { policy: PolicyDetails }) {
  const counts = p.verdicts;
  const given = p.params ?? {};
  const properties = Object.entries(p.params_schema?.properties ?? {});
  return (
    <Card title={p.name} badge={<>{p.gates?.map((g) => <Badge key={g}>{g}</Badge>)}{p.version ? <span className="text-xs font-normal text-ink-3">{p.version}</span> : null}</>}>
      <p className="mb-2 text-sm text-ink-2">{p.description}</p>
      {counts ? (
        <p className="mb-2 flex flex-wrap gap-2" aria-label="Verdicts since the host began">
          <Badge tone="good">allow {counts.allow ?? 0}</Badge><Badge tone="bad">deny {counts.deny ?? 0}</Badge><Badge tone="warn">ask {counts.ask ?? 0}</Badge><Badge tone="accent">rewrite {counts.rewrite ?? 0}</Badge>
        </p>
      ) : null}
      <dl>
        <Fact name="Digest"><code className="font-mono text-xs break-all">{p.digest ?? "—"}</code></Fact>
        <Fact name="The operator's">{Object.keys(given).length > 0 ? <code className="font-mono text-xs break-all">{JSON.stringify(given)}</code> : "no parameters are set"}</Fact>
      </dl>
      {properties.length > 0 ? (
        <details className="mt-2">
          <summary className="cursor-pointer text-sm text-ink-2">Parameters</summary>
          <dl className="pt-1">{properties.map(([name, s]) => <Fact key={name} name={name}>{s.description ?? ""}<span className="block text-xs text-ink-3">{typeOf(s)}{s.default === undefined ? "" : `, without it ${said(s.default)}`}</span></Fact>)}</dl>
        </details>
      ) : null}
    </Card>
  );
}

function typeOf(s: Schema): string {
  const type = Array.isArray(s.type) ? s.type.join(" or ") : s.type ?? "any value";
  const range = s.minimum !== undefined || s.maximum !== undefined ? ` ${s.minimum ?? "…"} to ${s.maximum ?? "…"}` : "";
  return `${type === "array" ? `list of ${typeOf(s.items ?? {})}` : type}${range}`;
}
