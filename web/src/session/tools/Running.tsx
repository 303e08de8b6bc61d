import { LoaderCircle } from "lucide-react";
import { duration } from "@/ui/format";
import { useNow } from "../useNow";

/** What runs, and for how long. */
export function Running({ since, label = "running" }: { since: number; label?: string }) {
  const now = useNow(1000);
  return (
    <span className="flex shrink-0 items-center gap-1 text-xs text-accent-ink tabular-nums">
      <LoaderCircle size={13} role="img" aria-label={label} className="animate-spin" />{now - since >= 1000 ? duration(Math.floor((now - since) / 1000) * 1000) : ""}
    </span>
  );
}
