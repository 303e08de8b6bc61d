import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useQueryClient } from "@tanstack/react-query";
import { Blocks, Rocket } from "lucide-react";
import { RadioGroup } from "radix-ui";
import { useState } from "react";
import { useConfigDetails, useConfigs, useProviders } from "@/app/catalog";
import { Failure } from "@/app/Failure";
import { useHealth } from "@/app/health";
import { useKey } from "@/app/key";
import { Button } from "@/ui/button";
import { Empty } from "@/ui/empty";
import { TextArea } from "@/ui/field";
import { toast } from "@/ui/toast";
import { CredentialFields } from "./CredentialFields";
import { lacking, mcpEnv, variables, type Credentials } from "./credentials";
import { InlineKey } from "./InlineKey";
import { LaunchStatus, started } from "./LaunchStatus";
import { PresetCard, PresetSkeletons } from "./PresetCard";
import { ProviderChoice } from "./ProviderChoice";
import { useLaunch } from "./useLaunch";

/** Choose what runs and where, say the first thing, go. */
export function LaunchPage() {
  const search = useSearch({ from: "/launch" });
  const navigate = useNavigate();
  const configs = useConfigs();
  const list = configs.data ?? [];
  const details = useConfigDetails(list.map((c) => c.id));
  const chosen = list.find((c) => c.id === search.config) ?? list.find((c) => c.id === "code-assistant") ?? list[0];
  return (
    <div className="mx-auto flex max-w-7xl flex-col gap-5 p-4 sm:p-6 lg:flex-row lg:items-start lg:gap-8">
      <section aria-labelledby="launch-title" className="min-w-0 flex-1">
        <div className="mb-4 grid grid-cols-[1fr_auto] items-center gap-x-3 gap-y-1">
          <h1 id="launch-title" className="text-xl font-semibold">Launch an agent</h1>
          <p className="text-sm row-start-2 text-ink-2 max-sm:col-span-2">Each one works in a sandbox of its own, within its limits and policies.</p>
          <Link to="/builder" className="col-start-2 row-start-1 inline-flex h-9 items-center sm:row-span-2 gap-1.5 rounded-md border border-line-strong bg-surface px-3 text-sm font-medium hover:bg-sunken"><Blocks size={15} aria-hidden />Build your own</Link>
        </div>
        {configs.error && list.length === 0 ? <Failure error={configs.error} what="configurations" onRetry={() => void configs.refetch()} /> : null}
        {configs.data && list.length === 0 ? <Empty icon={Blocks} title="This host has no presets"><Link to="/builder" className="text-accent-ink underline">Build one of your own</Link>, or let the operator put some into its folder of presets.</Empty> : null}
        <RadioGroup.Root
          aria-label="Configuration" value={chosen?.id ?? ""} className="grid grid-cols-1 gap-3 md:grid-cols-2"
          onValueChange={(config) => void navigate({ to: "/launch", search: { config }, replace: true })}
        >
          {configs.isPending ? <PresetSkeletons /> : list.map((c) => <PresetCard key={c.id} summary={c} details={details.get(c.id)} />)}
        </RadioGroup.Root>
      </section>
      <LaunchPanel configId={chosen?.id ?? ""} name={chosen?.name ?? ""} vars={variables(details.get(chosen?.id ?? "") ?? {})} />
    </div>
  );
}

function LaunchPanel({ configId, name, vars }: { configId: string; name: string; vars: ReturnType<typeof variables> }) {
  const key = useKey();
  const { data: health } = useHealth();
  const providers = useProviders();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const [provider, setProvider] = useState("");
  const [given, setGiven] = useState<Credentials>({});
  const [missed, setMissed] = useState("");
  const [message, setMessage] = useState("");
  const launch = useLaunch(configId, (session, took) => {
    void queries.invalidateQueries({ queryKey: ["sessions"] });
    toast(started(session.start, took));
    void navigate({ to: "/sessions/$sessionId", params: { sessionId: session.session_id } });
  });
  const list = providers.data?.providers ?? [];
  const chosen = provider || (list.find((p) => p.default && p.available) ?? list.find((p) => p.available))?.name || "";
  const busy = launch.state.step === "launching" || launch.state.step === "sending";
  const go = () => {
    if (!key || !configId || busy) return;
    if (lacking(vars, given).length > 0) {
      setMissed(configId);
      return;
    }
    const env = mcpEnv(vars, given);
    launch.start({
      api_key: key, config_id: configId, ...(chosen ? { provider: chosen } : {}), ...(Object.keys(env).length > 0 ? { mcp_env: env } : {}),
    }, message.trim());
  };
  const pool = providers.data?.pool ?? health?.pool;
  return (
    <section aria-labelledby="start-title" className="flex w-full shrink-0 flex-col gap-4 rounded-xl border border-line bg-raised p-4 lg:sticky lg:top-6 lg:w-[26rem]">
      <h2 id="start-title" className="truncate font-semibold">{name || "Start"}</h2>
      {key ? null : <InlineKey offline={health?.offline ?? false} />}
      {vars.length > 0 ? <fieldset><legend className="mb-2 text-sm font-medium">Credentials of its MCP servers</legend><CredentialFields vars={vars} given={given} missed={missed === configId} onChange={setGiven} /></fieldset> : null}
      <div className="flex flex-col gap-1">
        <label htmlFor="first-message" className="text-sm font-medium">First message</label>
        <TextArea
          id="first-message" rows={4} value={message} placeholder="What should it do? You can also leave this empty and talk later." onChange={(e) => setMessage(e.target.value)}
          onKeyDown={(e) => { if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) { e.preventDefault(); go(); } }}
        />
      </div>
      <div className="flex flex-col gap-1.5">
        <span className="text-sm font-medium">Runs on</span>
        {providers.error && !providers.data ? <Failure error={providers.error} what="providers" onRetry={() => void providers.refetch()} /> : <ProviderChoice providers={providers.data ? list : undefined} value={chosen} onChange={setProvider} />}
      </div>
      <div aria-live="polite"><LaunchStatus state={launch.state} onCancel={launch.cancel} onRetry={go} /></div>
      <Button look="primary" className="w-full" disabled={!key || !configId || !chosen} busy={busy} onClick={go}><Rocket size={16} aria-hidden />{message.trim() ? "Launch and send" : "Launch"}</Button>
      <p className="min-h-4 text-xs text-ink-3">
        {!key ? "Set your key first." : pool ? pool.waiting > 0 ? `${pool.waiting} starts are waiting before yours.` : pool.ready > 0 ? `${pool.ready} warm ${pool.ready === 1 ? "spare is" : "spares are"} ready.` : "No warm spare: it starts cold, in a few seconds." : ""}
        <kbd className="float-right max-sm:hidden">Ctrl ↵</kbd>
      </p>
    </section>
  );
}
