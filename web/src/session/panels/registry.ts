import type { LucideIcon } from "lucide-react";
import type { ComponentType, LazyExoticComponent } from "react";

/** A side panel of a session. */
export interface Panel {
  id: string;
  title: string;
  icon: LucideIcon;
  component: LazyExoticComponent<ComponentType<{ sessionId: string }>>;
}

/** The side panels, in the order of their tabs. */
export const panels: Panel[] = [];
