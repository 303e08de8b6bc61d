import type { VirtualItem } from "@tanstack/react-virtual";
import type { RefObject } from "react";
import { useUnmemoised } from "./virtualizer";

export interface Rows {
  /** The rows to draw now, with their place in px. */
  rows: VirtualItem[];
  /** The height of all rows together in px. */
  height: number;
  scrollTo: (index: number) => void;
  /** A row whose height isn't known before it is drawn gives its element, which carries data-index. */
  measure: (element: HTMLElement | null) => void;
}

/** Draws only those of count rows that are in sight of the scrolling element; size is a row's height in px, or a guess of it. */
export function useRows(scroller: RefObject<HTMLElement | null>, count: number, size: number, key?: (index: number) => string | number): Rows {
  "use no memo";
  const v = useUnmemoised({ count, getScrollElement: () => scroller.current, estimateSize: () => size, overscan: 6, ...(key ? { getItemKey: key } : {}) });
  return { rows: v.getVirtualItems(), height: v.getTotalSize(), scrollTo: (index) => v.scrollToIndex(index, { align: "auto" }), measure: v.measureElement };
}
