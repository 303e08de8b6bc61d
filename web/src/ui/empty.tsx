import type { LucideIcon } from "lucide-react";
import type { ReactNode } from "react";

/** What a place without content says: what it is for and what to do. */
export function Empty({ icon: Icon, title, children }: { icon: LucideIcon; title: string; children?: ReactNode }) {
  return (
    <div className="flex h-full min-h-48 flex-col items-center justify-center gap-2 p-6 text-center">
      <Icon size={28} className="text-ink-3" aria-hidden />
      <p className="font-medium">{title}</p>
      <div className="max-w-md text-sm text-ink-2">{children}</div>
    </div>
  );
}
