import { Skeleton } from "@/ui/skeleton";

/** Stands for a text that is on its way. */
export function TextWaiting() {
  return <div className="flex flex-col gap-2 p-4">{[40, 65, 55, 30, 70, 48].map((w) => <div key={w} style={{ width: `${w}%` }}><Skeleton className="h-4" /></div>)}</div>;
}
