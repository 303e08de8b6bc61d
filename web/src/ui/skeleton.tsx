import { cx } from "./cx";

/** Holds the place of what is being loaded, in its size, so that nothing jumps. */
export function Skeleton({ className }: { className?: string }) { return <div aria-hidden className={cx("animate-pulse rounded bg-line", className)} />; }
