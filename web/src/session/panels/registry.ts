import { ListTodo, type LucideIcon, Wrench } from "lucide-react";
import { type ComponentType, lazy, type LazyExoticComponent } from "react";

/** A side panel of a session. */
export interface Panel {
  id: string;
  title: string;
  icon: LucideIcon;
  component: LazyExoticComponent<ComponentType<{ sessionId: string }>>;
}

/** The side panels, in the order of their tabs. */
export const panels: Panel[] = [
  { id: "tasks", title: "Tasks", icon: ListTodo, component: lazy(async () => ({ default: (await import("./TasksPanel")).TasksPanel })) },
  { id: "tools", title: "Tools", icon: Wrench, component: lazy(async () => ({ default: (await import("./ToolsPanel")).ToolsPanel })) },
];
