import { ExternalLink } from "lucide-react";
import { isMissing, useAbout } from "@/app/catalog";
import { useHealth } from "@/app/health";
import type { About } from "@/app/types";
import { useNow } from "@/ui/clock";
import { duration } from "@/ui/format";
import { Card, Fact, Loaded } from "./parts";

export function AboutTab() {
  const about = useAbout();
  const { data: health } = useHealth();
  // What an older host tells in its health.
  const older: About | undefined = isMissing(about.error) && health ? { version: health.version, offline: health.offline, provider: health.provider } : undefined;
  return (
    <Loaded query={older ? { data: older, error: null, refetch: about.refetch } : about} what="page about itself">
      {(a) => (
        <div className="grid max-w-3xl gap-3 p-4">
          <Card title="AgCluster">
            <dl>
              <Fact name="Version">{a.version || "—"}</Fact>
              <Fact name="Claude Code">{a.claude_code_version ?? "—"}</Fact>
              <Fact name="Go">{a.go_version ?? "—"}</Fact>
              <Fact name="Running for"><Uptime since={a.started_at} /></Fact>
              <Fact name="Model">{a.offline ? "the offline model: any key works, and nothing is sent to Anthropic" : "Anthropic's, with each person's own key"}</Fact>
              <Fact name="Default provider">{a.provider ?? "—"}</Fact>
              <Fact name="Terminal">{a.terminal === undefined ? "—" : a.terminal ? "may be opened, unless a configuration says no" : "is switched off by the operator"}</Fact>
            </dl>
          </Card>
          <Card title="API">
            <p className="text-sm text-ink-2">Everything that this dashboard does goes through the API.</p>
            <ul className="mt-2 flex flex-col gap-1 text-sm">
              {[[a.docs ?? "/docs", "Reference"], ["/openapi.yaml", "OpenAPI document"], ["/health", "Health"], ["/metrics", "Metrics for Prometheus"]].map(([href, title]) => (
                <li key={title}><a href={href} target="_blank" rel="noreferrer" className="inline-flex items-center gap-1.5 text-accent-ink underline">{title}<ExternalLink size={13} aria-hidden /></a></li>
              ))}
            </ul>
          </Card>
        </div>
      )}
    </Loaded>
  );
}

function Uptime({ since }: { since: string | undefined }) {
  const now = useNow(1000);
  const at = Date.parse(since ?? "");
  return <span className="tabular-nums">{Number.isNaN(at) ? "—" : duration(Math.max(0, Math.floor((now - at) / 1000) * 1000))}</span>;
}
