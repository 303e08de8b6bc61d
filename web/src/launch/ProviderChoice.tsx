import { RadioGroup } from "radix-ui";
import type { Provider } from "@/app/types";
import { Badge } from "@/ui/badge";
import { Skeleton } from "@/ui/skeleton";

/** Where the agent runs. One that can't be used is greyed out and says why. */
export function ProviderChoice({ providers, value, onChange }: { providers: Provider[] | undefined; value: string; onChange: (name: string) => void }) {
  if (!providers) return <Skeleton className="h-16 w-full" />;
  return (
    <RadioGroup.Root value={value} onValueChange={onChange} aria-label="Provider" className="flex flex-col gap-1.5">
      {providers.map((p) => (
        <RadioGroup.Item
          key={p.name} value={p.name} disabled={!p.available} aria-label={p.name}
          className="flex flex-col gap-1 rounded-md border border-line bg-surface px-3 py-2 text-left hover:border-line-strong disabled:cursor-not-allowed disabled:bg-sunken data-[state=checked]:border-accent data-[state=checked]:bg-accent-soft/40"
        >
          <span className="flex w-full items-center gap-2 text-sm">
            <span className={p.available ? "font-medium" : "font-medium text-ink-3"}>{p.name}</span>
            {p.version ? <span className="text-xs text-ink-3">{p.version}</span> : null}
            {p.default ? <Badge className="ml-auto">default</Badge> : null}
          </span>
          {p.available
            ? p.capabilities && p.capabilities.length > 0 ? <span className="text-xs text-ink-3">can: {p.capabilities.join(", ")}</span> : null
            : <span className="text-xs text-warn">Not available: {p.reason ?? "the host gives no reason"}</span>}
        </RadioGroup.Item>
      ))}
    </RadioGroup.Root>
  );
}
