import { Dialog } from "radix-ui";
import { X } from "lucide-react";
import { Suspense } from "react";
import { IconButton } from "@/ui/button";
import { Skeleton } from "@/ui/skeleton";
import { Tabs } from "@/ui/tabs";
import { panels } from "./registry";
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
      tabs={panels.map(({ id, title, icon, component: Content }) => ({
        id, title, icon, onIntent: () => Content.preload(), content: <Suspense fallback={<Waiting />}><Content sessionId={sessionId} /></Suspense>,
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

function Waiting() { return <div className="flex flex-col gap-2 p-3"><Skeleton className="h-5 w-1/2" /><Skeleton className="h-4 w-3/4" /><Skeleton className="h-4 w-2/3" /></div>; }
