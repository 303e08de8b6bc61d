import { FileDiff, FileText, FolderTree, Gauge, Info, ListTodo, ScrollText, SquareTerminal, Wrench, type LucideIcon } from "lucide-react";
import { type Loadable, loadable } from "@/ui/loadable";

/** A side panel of a session. */
export interface Panel {
  id: string;
  title: string;
  icon: LucideIcon;
  /** True when its code is fetched only for those who look at it. */
  large?: boolean;
  component: Loadable<{ sessionId: string }>;
}

/** The side panels, in the order of their tabs. */
export const panels: Panel[] = [
  { id: "files", title: "Files", icon: FolderTree, component: loadable(() => import("./files/FilesPanel")) },
  { id: "viewer", title: "Viewer", icon: FileText, component: loadable(() => import("./viewer/ViewerPanel")) },
  { id: "changes", title: "Changes", icon: FileDiff, component: loadable(() => import("./changes/ChangesPanel")) },
  { id: "tasks", title: "Tasks", icon: ListTodo, component: loadable(async () => ({ default: (await import("./TasksPanel")).TasksPanel })) },
  { id: "tools", title: "Tools", icon: Wrench, component: loadable(async () => ({ default: (await import("./ToolsPanel")).ToolsPanel })) },
  { id: "resources", title: "Resources", icon: Gauge, component: loadable(() => import("./resources/ResourcesPanel")) },
  { id: "terminal", title: "Terminal", icon: SquareTerminal, large: true, component: loadable(() => import("./terminal/TerminalPanel")) },
  { id: "logs", title: "Logs", icon: ScrollText, component: loadable(() => import("./logs/LogsPanel")) },
  { id: "details", title: "Details", icon: Info, component: loadable(() => import("./details/DetailsPanel")) },
];

/** Fetches the code of the panels that are small, ahead of their first use. */
export function preloadPanels() { for (const { component, large } of panels) if (!large) component.preload(); }
