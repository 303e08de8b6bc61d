import type { ComponentProps, ReactNode } from "react";
import { cx } from "./cx";
import { Tip } from "./tooltip";

const looks = {
  primary: "bg-accent text-on-accent hover:brightness-110 border-transparent",
  plain: "bg-surface text-ink border-line-strong hover:bg-sunken",
  quiet: "bg-transparent text-ink-2 border-transparent hover:bg-sunken hover:text-ink",
  danger: "bg-bad-soft text-bad border-transparent hover:brightness-95",
} as const;

export interface ButtonProps extends ComponentProps<"button"> {
  look?: keyof typeof looks;
  small?: boolean;
  /** Keeps the button's size and says that it is at work; it can't be pressed meanwhile. */
  busy?: boolean;
}

export function Button({ look = "plain", small = false, busy = false, className, disabled, children, type = "button", ...rest }: ButtonProps) {
  return (
    <button
      type={type} disabled={disabled === true || busy} aria-busy={busy || undefined} {...rest}
      className={cx(
        "inline-flex items-center justify-center gap-1.5 rounded-md border font-medium whitespace-nowrap transition-colors select-none",
        "disabled:cursor-not-allowed disabled:opacity-55", small ? "h-7 px-2 text-xs" : "h-9 px-3 text-sm", looks[look], className,
      )}
    >
      {children}
    </button>
  );
}

/** A button that shows an icon only. label is its name for a screen reader and its tooltip. */
export function IconButton({ label, children, className, small = false, ...rest }: Omit<ButtonProps, "children"> & { label: string; children: ReactNode }) {
  return (
    <Tip text={label}>
      <Button look="quiet" small={small} aria-label={label} className={cx(small ? "w-7 px-0!" : "w-9 px-0!", className)} {...rest}>{children}</Button>
    </Tip>
  );
}
