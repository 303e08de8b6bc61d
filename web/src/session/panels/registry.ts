import { FileDiff, FileText, FolderTree, Gauge, Info, ListTodo, ScrollText, SquareTerminal, Wrench, type LucideIcon } from "lucide-react";
import { lazy, type ComponentType, type LazyExoticComponent } from "react";

/** A side panel of a session. */
export interface Panel {
  id: string;
  title: string;
  icon: LucideIcon;
  component: LazyExoticComponent<ComponentType<{ sessionId: string }>>;
}

/** The side panels, in the order of their tabs. */
export const panels: Panel[] = [
  { id: "files", title: "Files", icon: FolderTree, component: lazy(() => import("./files/FilesPanel")) },
  { id: "viewer", title: "Viewer", icon: FileText, component: lazy(() => import("./viewer/ViewerPanel")) },
  { id: "changes", title: "Changes", icon: FileDiff, component: lazy(() => import("./changes/ChangesPanel")) },
  { id: "tasks", title: "Tasks", icon: ListTodo, component: lazy(async () => ({ default: (await import("./TasksPanel")).TasksPanel })) },
  { id: "tools", title: "Tools", icon: Wrench, component: lazy(async () => ({ default: (await import("./ToolsPanel")).ToolsPanel })) },
  { id: "resources", title: "Resources", icon: Gauge, component: lazy(() => import("./resources/ResourcesPanel")) },
  { id: "terminal", title: "Terminal", icon: SquareTerminal, component: lazy(() => import("./terminal/TerminalPanel")) },
  { id: "logs", title: "Logs", icon: ScrollText, component: lazy(() => import("./logs/LogsPanel")) },
  { id: "details", title: "Details", icon: Info, component: lazy(() => import("./details/DetailsPanel")) },
];
