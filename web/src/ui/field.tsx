import { useId, type ComponentProps, type ReactNode } from "react";
import { cx } from "./cx";

export const inputLook = "w-full rounded-md border border-line-strong bg-surface px-2.5 text-sm text-ink placeholder:text-ink-3 disabled:opacity-60 aria-invalid:border-bad";

export function Input({ className, ...rest }: ComponentProps<"input">) { return <input {...rest} className={cx(inputLook, "h-9", className)} />; }

export function TextArea({ className, ...rest }: ComponentProps<"textarea">) { return <textarea {...rest} className={cx(inputLook, "py-2", className)} />; }

export function Select({ className, ...rest }: ComponentProps<"select">) { return <select {...rest} className={cx(inputLook, "h-9 pr-7", className)} />; }

export interface FieldProps {
  label: ReactNode;
  hint?: ReactNode;
  error?: string | undefined;
  required?: boolean;
  /** Gets what ties the control to its label, its hint and its error. */
  children: (control: { id: string; "aria-describedby"?: string; "aria-invalid"?: true }) => ReactNode;
}

/** A labelled control with a hint and an error, tied together for a screen reader. */
export function Field({ label, hint, error, required = false, children }: FieldProps) {
  const id = useId();
  const described = [hint ? `${id}-hint` : "", error ? `${id}-error` : ""].filter(Boolean).join(" ");
  return (
    <div className="flex min-w-0 flex-col gap-1">
      <label htmlFor={id} className="text-sm font-medium">
        {label}{required ? <span className="text-bad" aria-hidden> *</span> : null}
      </label>
      {children({ id, ...(described ? { "aria-describedby": described } : {}), ...(error ? { "aria-invalid": true as const } : {}) })}
      {hint ? <p id={`${id}-hint`} className="text-xs text-ink-3">{hint}</p> : null}
      {error ? <p id={`${id}-error`} role="alert" className="text-xs text-bad">{error}</p> : null}
    </div>
  );
}
