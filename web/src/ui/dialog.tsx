import { Dialog as Base } from "radix-ui";
import { X } from "lucide-react";
import type { ReactNode } from "react";
import { cx } from "./cx";
import { IconButton } from "./button";

export interface DialogProps {
  open: boolean;
  onClose: () => void;
  title: string;
  /** One line under the title; a screen reader reads it when the dialog opens. */
  hint?: ReactNode;
  children: ReactNode;
  wide?: boolean;
  /** Stands at the right edge, as high as the page, and leaves the rest to be seen. On a phone it comes from below like any other. */
  drawer?: boolean;
}

/** A modal dialog: focus stays in it, Esc closes it, focus goes back afterwards. */
export function Dialog({ open, onClose, title, hint, children, wide = false, drawer = false }: DialogProps) {
  return (
    <Base.Root open={open} onOpenChange={(next) => { if (!next) onClose(); }}>
      <Base.Portal>
        <Base.Overlay className="fixed inset-0 z-40 bg-black/45" />
        <Base.Content
          {...(hint ? {} : { "aria-describedby": undefined })}
          // The first thing to use, and not the button that closes it.
          onOpenAutoFocus={(e) => {
            const first = (e.currentTarget as HTMLElement | null)?.querySelector<HTMLElement>("[data-body] :is(input, textarea, select, button):not(:disabled)");
            if (!first) return;
            e.preventDefault();
            first.focus();
          }}
          className={cx(
            "fixed z-40 flex flex-col border border-line bg-raised shadow-2xl outline-none",
            "inset-x-0 bottom-0 max-h-[92dvh] rounded-t-xl",
            drawer ? "sm:inset-y-0 sm:right-0 sm:left-auto sm:max-h-none sm:rounded-none" : "sm:inset-auto sm:top-1/2 sm:left-1/2 sm:max-h-[85dvh] sm:-translate-x-1/2 sm:-translate-y-1/2 sm:rounded-xl",
            wide ? "sm:w-[min(60rem,94vw)]" : "sm:w-[min(32rem,94vw)]",
          )}
        >
          <header className="flex items-start gap-3 border-b border-line px-4 py-3">
            <div className="min-w-0 flex-1">
              <Base.Title className="text-base font-semibold">{title}</Base.Title>
              {hint ? <Base.Description className="text-sm text-ink-2">{hint}</Base.Description> : null}
            </div>
            <Base.Close asChild><IconButton label="Close" small><X size={16} /></IconButton></Base.Close>
          </header>
          <div data-body className="min-h-0 flex-1 overflow-auto p-4">{children}</div>
        </Base.Content>
      </Base.Portal>
    </Base.Root>
  );
}
