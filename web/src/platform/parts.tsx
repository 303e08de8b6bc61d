import type { ReactNode } from "react";
import { Failure } from "@/app/Failure";
import { Skeleton } from "@/ui/skeleton";

/** A name and its value in a list of facts. */
export function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div className="flex flex-wrap gap-x-4 gap-y-0.5 border-b border-line py-1.5 text-sm last:border-0">
      <dt className="w-28 shrink-0 sm:w-40 text-ink-3">{name}</dt><dd className="min-w-0 flex-1 break-words">{children}</dd>
    </div>
  );
}

/** The content of a tab once it is there; its place before, and why it is not. */
export function Loaded<T>({ query, what, children }: { query: { data: T | undefined; error: unknown; refetch: () => unknown }; what: string; children: (data: T) => ReactNode }) {
  if (query.data !== undefined) return <>{children(query.data)}</>;
  if (query.error) return <Failure error={query.error} what={what} onRetry={() => void query.refetch()} />;
  return <div className="flex flex-col gap-3 p-4" aria-busy>{[0, 1, 2, 3].map((i) => <Skeleton key={i} className="h-16 w-full" />)}</div>;
}

export function Card({ title, badge, children }: { title: ReactNode; badge?: ReactNode; children: ReactNode }) {
  return (
    <section className="rounded-lg border border-line bg-surface p-4">
      <h2 className="mb-2 flex flex-wrap items-center gap-2 font-semibold">{title}{badge}</h2>
      {children}
    </section>
  );
}

/** A value as people read it. */
export function said(value: unknown): string {
  if (value === undefined || value === null || value === "") return "—";
  return typeof value === "string" ? value : JSON.stringify(value);
}
