import { Skeleton } from "@/ui/skeleton";

/** Stands for a panel whose code is on its way. */
export function PanelWaiting() { return <div className="flex flex-col gap-2 p-3"><Skeleton className="h-5 w-1/2" /><Skeleton className="h-4 w-3/4" /><Skeleton className="h-4 w-2/3" /></div>; }
