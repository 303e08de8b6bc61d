import { DropdownMenu as Base } from "radix-ui";
import type { LucideIcon } from "lucide-react";
import type { ReactNode } from "react";
import { cx } from "./cx";

export interface MenuItem { label: string; icon?: LucideIcon; hint?: string; danger?: boolean; disabled?: boolean; onSelect: () => void }

/** A menu behind a button; null in items is a separator. */
export function Menu({ trigger, items, label }: { trigger: ReactNode; items: (MenuItem | null)[]; label: string }) {
  return (
    <Base.Root>
      <Base.Trigger asChild>{trigger}</Base.Trigger>
      <Base.Portal>
        <Base.Content aria-label={label} align="end" sideOffset={4} collisionPadding={8} className="z-50 min-w-44 rounded-lg border border-line bg-raised p-1 shadow-xl">
          {items.map((item, i) => item === null
            ? <Base.Separator key={i} className="my-1 h-px bg-line" />
            : (
              <Base.Item
                key={item.label} disabled={item.disabled === true} onSelect={item.onSelect}
                className={cx("flex h-8 cursor-pointer items-center gap-2 rounded px-2 text-sm outline-none data-[disabled]:cursor-not-allowed data-[disabled]:opacity-50 data-[highlighted]:bg-sunken", item.danger && "text-bad")}
              >
                {item.icon ? <item.icon size={15} aria-hidden /> : null}
                <span className="flex-1">{item.label}</span>
                {item.hint ? <kbd className="text-xs text-ink-3">{item.hint}</kbd> : null}
              </Base.Item>
            ))}
        </Base.Content>
      </Base.Portal>
    </Base.Root>
  );
}
