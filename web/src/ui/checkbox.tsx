import { Checkbox as Base } from "radix-ui";
import { Check, Minus } from "lucide-react";
import { cx } from "./cx";

/** A checkbox without a visible label; label is its name. */
export function Checkbox({ checked, onChange, label, disabled = false, className }: {
  checked: boolean | "indeterminate"; onChange: (next: boolean) => void; label: string; disabled?: boolean; className?: string;
}) {
  return (
    <Base.Root
      checked={checked} onCheckedChange={(next) => onChange(next === true)} aria-label={label} disabled={disabled}
      className={cx("flex size-4 shrink-0 items-center justify-center rounded border border-line-strong bg-surface text-on-accent disabled:opacity-50 data-[state=checked]:border-accent data-[state=checked]:bg-accent data-[state=indeterminate]:border-accent data-[state=indeterminate]:bg-accent", className)}
    >
      <Base.Indicator>{checked === "indeterminate" ? <Minus size={12} aria-hidden /> : <Check size={12} aria-hidden />}</Base.Indicator>
    </Base.Root>
  );
}
