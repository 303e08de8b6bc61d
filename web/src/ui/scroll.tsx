import type { ReactNode, Ref } from "react";
import { cx } from "./cx";

// What scrolls must be reachable by keyboard, or its end is out of reach; so it takes focus although it is no control.
const reachable = { tabIndex: 0 } as const;

/** A region that scrolls. label is its name for a screen reader. */
export function Scroll({ label, className, children, ref }: { label: string; className?: string; children: ReactNode; ref?: Ref<HTMLDivElement> }) {
  return <div ref={ref} role="region" aria-label={label} {...reachable} className={cx("overflow-auto outline-offset-[-2px]", className)}>{children}</div>;
}
