import { useNavigate, useSearch } from "@tanstack/react-router";
import { Boxes, Info, Plug, ServerCog, ShieldCheck, SlidersHorizontal } from "lucide-react";
import { Tabs } from "@/ui/tabs";
import { AboutTab } from "./AboutTab";
import { PluginsTab } from "./PluginsTab";
import { PoliciesTab } from "./PoliciesTab";
import { ProvidersTab } from "./ProvidersTab";
import { SettingsTab } from "./SettingsTab";

const tabs = [
  { id: "plugins", title: "Plugins", icon: Plug, content: <PluginsTab /> },
  { id: "policies", title: "Policies", icon: ShieldCheck, content: <PoliciesTab /> },
  { id: "providers", title: "Providers", icon: Boxes, content: <ProvidersTab /> },
  { id: "settings", title: "Settings", icon: SlidersHorizontal, content: <SettingsTab /> },
  { id: "about", title: "About", icon: Info, content: <AboutTab /> },
];

/** What the host is made of and how it is. */
export function PlatformPage() {
  const { tab } = useSearch({ from: "/platform" });
  const navigate = useNavigate();
  return (
    <div className="flex h-full flex-col">
      <h1 className="flex items-center gap-2 px-4 pt-4 pb-2 text-xl font-semibold"><ServerCog size={20} className="text-ink-3" aria-hidden />Platform</h1>
      <div className="min-h-0 flex-1">
        <Tabs label="Platform" tabs={tabs} value={tabs.some((t) => t.id === tab) ? tab ?? "plugins" : "plugins"} onChange={(id) => void navigate({ to: "/platform", search: { tab: id }, replace: true })} />
      </div>
    </div>
  );
}
