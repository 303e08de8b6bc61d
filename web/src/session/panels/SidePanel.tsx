import { Dialog } from "radix-ui";
import { X } from "lucide-react";
import { IconButton } from "@/ui/button";
import { Tabs } from "@/ui/tabs";
import { panels, preloadPanel } from "./registry";
import { usePanel } from "./usePanel";

/** The tabs of the side panels; what each shows is loaded when it is looked at. */
export function SidePanel({ sessionId }: { sessionId: string }) {
  const { panel, show } = usePanel();
  const value = panels.some((p) => p.id === panel) ? panel : panels[0]?.id ?? "";
  return (
    <Tabs
      compact label="Side panels" value={value}
      onChange={(id) => {
        try { sessionStorage.setItem("agcluster.panel", id); } catch { /* it is a convenience */ }
        show(id);
      }}
      tabs={panels.map((it) => ({
        id: it.id, title: it.title, icon: it.icon, onIntent: () => { void preloadPanel(it, sessionId); },
        content: <it.component sessionId={sessionId} />,
      }))}
    />
  );
}

/** The same on a narrow screen: over all of it, with a way back. */
export function PanelSheet({ sessionId }: { sessionId: string }) {
  const { panel, hide } = usePanel();
  return (
    <Dialog.Root open={panel !== ""} onOpenChange={(open) => { if (!open) hide(); }}>
      <Dialog.Portal>
        <Dialog.Content
          aria-describedby={undefined}
          onOpenAutoFocus={(e) => { e.preventDefault(); if (e.currentTarget instanceof HTMLElement) e.currentTarget.focus(); }}
          className="fixed inset-0 z-30 flex flex-col bg-surface outline-none"
        >
          <div className="flex h-11 shrink-0 items-center justify-between border-b border-line pr-2 pl-4">
            <Dialog.Title className="text-sm font-semibold">{panels.find((p) => p.id === panel)?.title ?? "Panels"}</Dialog.Title>
            <Dialog.Close asChild><IconButton label="Back to the conversation"><X size={18} /></IconButton></Dialog.Close>
          </div>
          <div className="min-h-0 flex-1"><SidePanel sessionId={sessionId} /></div>
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
