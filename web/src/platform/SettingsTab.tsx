import { Search, SearchX } from "lucide-react";
import { useState } from "react";
import { useSettings } from "@/app/catalog";
import type { Setting } from "@/app/types";
import { Badge, type Tone } from "@/ui/badge";
import { Empty } from "@/ui/empty";
import { Input } from "@/ui/field";
import { Switch } from "@/ui/switch";
import { Loaded, said } from "./parts";

const tones: Readonly<Record<string, Tone>> = { file: "accent", env: "warn", flag: "good" };

export function SettingsTab() {
  const settings = useSettings();
  return <Loaded query={settings} what="list of settings">{(list) => <Settings all={list} />}</Loaded>;
}

function Settings({ all }: { all: Setting[] }) {
  const [q, setQ] = useState("");
  const [changed, setChanged] = useState(false);
  const words = q.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = all.filter((s) => (!changed || s.source !== "default") && words.every((w) => `${s.key} ${s.env ?? ""} ${s.doc ?? ""}`.toLowerCase().includes(w)));
  return (
    <div className="flex flex-col">
      <div className="sticky top-0 z-10 flex flex-wrap items-center gap-4 border-b border-line bg-canvas p-4">
        <div className="relative w-full sm:w-80">
          <Search size={15} className="absolute top-2.5 left-2.5 text-ink-3" aria-hidden />
          <Input type="search" aria-label="Search settings" placeholder="Search" className="pl-8" value={q} onChange={(e) => setQ(e.target.value)} />
        </div>
        <Switch checked={changed} onChange={setChanged} label="Only what is not the default" />
        <span className="text-xs text-ink-3 tabular-nums" role="status">{shown.length} of {all.length}</span>
      </div>
      {shown.length === 0 ? <Empty icon={SearchX} title="No setting fits">Secrets are shown as ***; they are found by their names.</Empty> : (
        <ul>
          {shown.map((s) => (
            <li key={s.key} className="grid gap-x-6 gap-y-1 border-b border-line px-4 py-2.5 md:grid-cols-[minmax(0,1fr)_minmax(0,1fr)]">
              <div className="min-w-0">
                <p className="font-mono text-xs font-medium break-all">{s.key}</p>
                <p className="text-xs text-ink-2">{s.doc}{s.limits ? <span className="text-ink-3"> ({s.limits})</span> : null}</p>
              </div>
              <div className="min-w-0">
                <p className="flex flex-wrap items-center gap-2"><code className="font-mono text-xs break-all">{said(s.value)}</code>{s.source === "default" ? null : <Badge tone={tones[s.source] ?? "plain"}>{s.source}</Badge>}</p>
                <p className="text-xs break-all text-ink-3">{s.source === "default" ? null : <>{s.from ? `from ${s.from} · ` : ""}default {said(s.default)} · </>}{s.env}</p>
              </div>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
