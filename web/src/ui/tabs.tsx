import { Tabs as Base } from "radix-ui";
import type { LucideIcon } from "lucide-react";
import type { ReactNode } from "react";

export interface Tab { id: string; title: string; icon?: LucideIcon; badge?: ReactNode; /** Called when somebody is about to choose it. */ onIntent?: () => void; content: ReactNode }

/** Tabs; only the chosen one's content is mounted. compact: where there is no room for all titles, those of the others are hidden behind their icons. */
export function Tabs({ tabs, value, onChange, label, compact = false }: { tabs: Tab[]; value: string; onChange: (id: string) => void; label: string; compact?: boolean }) {
  return (
    <Base.Root value={value} onValueChange={onChange} className="@container flex h-full min-h-0 flex-col">
      <Base.List aria-label={label} className="flex shrink-0 gap-0.5 overflow-x-auto border-b border-line px-2">
        {tabs.map((tab) => (
          <Base.Trigger key={tab.id} value={tab.id} onPointerEnter={tab.onIntent} onFocus={tab.onIntent} {...(compact ? { title: tab.title } : {})} className="group -mb-px flex h-10 shrink-0 items-center gap-1.5 border-b-2 border-transparent px-2.5 text-sm text-ink-2 @max-[25rem]:px-2 outline-offset-[-2px] hover:text-ink data-[state=active]:border-accent data-[state=active]:text-ink">
            {tab.icon ? <tab.icon size={15} aria-hidden /> : null}
            <span className={compact ? "@max-[62rem]:group-data-[state=inactive]:sr-only" : ""}>{tab.title}</span>{tab.badge}
          </Base.Trigger>
        ))}
      </Base.List>
      {tabs.map((tab) => <Base.Content key={tab.id} value={tab.id} className="min-h-0 flex-1 overflow-auto outline-none">{tab.content}</Base.Content>)}
    </Base.Root>
  );
}
