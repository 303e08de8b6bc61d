import { useProviders } from "@/app/catalog";
import { useHealth } from "@/app/health";
import { Badge } from "@/ui/badge";
import { bytes } from "@/ui/format";
import { Card, Fact, Loaded } from "./parts";

export function ProvidersTab() {
  const providers = useProviders();
  const { data: health } = useHealth();
  return (
    <Loaded query={providers} what="list of providers">
      {({ providers: list, pool }) => (
        <div className="grid gap-3 p-4 xl:grid-cols-2">
          {(list ?? []).map((p) => (
            <Card key={p.name} title={p.name} badge={<>{p.default ? <Badge tone="accent">default</Badge> : null}<Badge tone={p.available ? "good" : "warn"}>{p.available ? "available" : "not available"}</Badge>{p.version ? <span className="text-xs font-normal text-ink-3">{p.version}</span> : null}</>}>
              {p.available ? null : <p className="mb-2 text-sm text-warn">{p.reason ?? "The host gives no reason."}</p>}
              <dl><Fact name="Can">{p.capabilities?.join(", ") || "make and unmake sandboxes"}</Fact></dl>
            </Card>
          ))}
          {pool ? (
            <Card title="Warm pool" badge={<Badge tone={pool.ready > 0 ? "good" : "plain"}>{pool.ready} ready</Badge>}>
              <p className="mb-2 text-sm text-ink-2">Sandboxes whose Claude Code waits already. A launch that takes one is warm.</p>
              <dl>
                <Fact name="Being started">{pool.starting}</Fact>
                <Fact name="Starts, warm and cold">{pool.warm} and {pool.cold}</Fact>
                <Fact name="Waiting starts">{pool.waiting} of at most {pool.queue}; {pool.slots} at the same time</Fact>
                <Fact name="Memory of the spares">{bytes(pool.memory_bytes)}</Fact>
                {health ? <Fact name="Sandboxes now">{health.sandboxes}</Fact> : null}
              </dl>
            </Card>
          ) : null}
        </div>
      )}
    </Loaded>
  );
}
