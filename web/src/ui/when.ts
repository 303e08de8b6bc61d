import { useState } from "react";
import { dateTime } from "./format";

/**
 * Shows a time, in milliseconds since 1970, to who points at an element: spread it on that. It is not written before, because a browser takes
 * some 50 ms to learn how times are written. undefined shows nothing.
 */
export function useTimeTip(at: number | undefined): { title?: string; onPointerEnter?: () => void } {
  const [title, setTitle] = useState<string>();
  if (at === undefined) return {};
  return { ...(title === undefined ? {} : { title }), onPointerEnter: () => { setTitle(dateTime(at)); } };
}
