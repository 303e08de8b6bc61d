import { FileText, FolderTree, type LucideIcon } from "lucide-react";
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
];
