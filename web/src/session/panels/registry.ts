import { FileDiff, FileText, FolderTree, Gauge, Info, ListTodo, ScrollText, SquareTerminal, Wrench, type LucideIcon } from "lucide-react";
import { whenIdle } from "@/ui/idle";
import { type Loadable, loadable } from "@/ui/loadable";
import { preloadTree } from "./data";
import { PanelWaiting } from "./PanelWaiting";

/** A side panel of a session. */
export interface Panel {
  id: string;
  title: string;
  icon: LucideIcon;
  /** True when its code is fetched only for those who look at it. */
  large?: boolean;
  component: Loadable<{ sessionId: string }>;
  /** Fetches what it shows first. */
  preload?: (sessionId: string) => void;
}

/** The side panels, in the order of their tabs. */
export const panels: Panel[] = [
  { id: "files", title: "Files", icon: FolderTree, component: loadable(() => import("./files/FilesPanel"), PanelWaiting), preload: preloadTree },
  { id: "viewer", title: "Viewer", icon: FileText, component: loadable(() => import("./viewer/ViewerPanel"), PanelWaiting) },
  { id: "changes", title: "Changes", icon: FileDiff, component: loadable(() => import("./changes/ChangesPanel"), PanelWaiting) },
  { id: "tasks", title: "Tasks", icon: ListTodo, component: loadable(async () => ({ default: (await import("./TasksPanel")).TasksPanel }), PanelWaiting) },
  { id: "tools", title: "Tools", icon: Wrench, component: loadable(async () => ({ default: (await import("./ToolsPanel")).ToolsPanel }), PanelWaiting) },
  { id: "resources", title: "Resources", icon: Gauge, component: loadable(() => import("./resources/ResourcesPanel"), PanelWaiting) },
  { id: "terminal", title: "Terminal", icon: SquareTerminal, large: true, component: loadable(() => import("./terminal/TerminalPanel"), PanelWaiting) },
  { id: "logs", title: "Logs", icon: ScrollText, component: loadable(() => import("./logs/LogsPanel"), PanelWaiting) },
  { id: "details", title: "Details", icon: Info, component: loadable(() => import("./details/DetailsPanel"), PanelWaiting) },
];

/** Fetches, ahead of its use, a panel's code and, of a session, what the panel shows first. */
export async function preloadPanel({ component, preload }: Panel, sessionId: string | undefined): Promise<void> {
  if (sessionId !== undefined) preload?.(sessionId);
  await component.preload();
}

/** Does so for the panels whose code is small, one after the other when the page has nothing else to do; the result calls it off. */
export function preloadPanels(sessionId: string | undefined): () => void {
  const left = panels.filter((panel) => !panel.large);
  let stop: () => void = () => undefined;
  const next = () => {
    const panel = left.shift();
    if (panel) stop = whenIdle(() => { void preloadPanel(panel, sessionId).then(next); });
  };
  next();
  return () => { stop(); left.length = 0; };
}
