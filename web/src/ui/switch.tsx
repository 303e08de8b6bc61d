import { Switch as Base } from "radix-ui";
import { useId, type ReactNode } from "react";

export function Switch({ checked, onChange, label, disabled = false }: { checked: boolean; onChange: (next: boolean) => void; label: ReactNode; disabled?: boolean }) {
  const id = useId();
  return (
    <span className="inline-flex items-center gap-2">
      <Base.Root id={id} checked={checked} onCheckedChange={onChange} disabled={disabled} className="relative h-5 w-9 shrink-0 rounded-full bg-line-strong transition-colors data-[state=checked]:bg-accent disabled:opacity-50">
        <Base.Thumb className="block size-4 translate-x-0.5 rounded-full bg-white shadow transition-transform data-[state=checked]:translate-x-[18px]" />
      </Base.Root>
      <label htmlFor={id} className="text-sm">{label}</label>
    </span>
  );
}
