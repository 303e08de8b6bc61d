import { useNavigate } from "@tanstack/react-router";
import { Search } from "lucide-react";
import { useEffect, useState } from "react";
import { IconButton } from "@/ui/button";
import { Dialog } from "@/ui/dialog";
import { loadable } from "@/ui/loadable";
import { KeyDialog } from "./KeyDialog";
import { reader, shortcuts } from "./shortcuts";

const CommandPalette = loadable(async () => ({ default: (await import("./CommandPalette")).CommandPalette }), () => null);

type Open = "palette" | "shortcuts" | "key" | null;

/** The button of the command palette, and what the keyboard does everywhere. */
export function Commands() {
  const [open, setOpen] = useState<Open>(null);
  const navigate = useNavigate();
  useEffect(() => {
    const read = reader();
    const listen = (e: KeyboardEvent) => {
      if (e.defaultPrevented) return;
      const command = read(e, e.timeStamp);
      if (!command) return;
      e.preventDefault();
      if (command === "palette") setOpen((was) => was === "palette" ? null : "palette");
      else if (command === "shortcuts") setOpen("shortcuts");
      else void navigate({ to: `/${command}` });
    };
    window.addEventListener("keydown", listen);
    return () => window.removeEventListener("keydown", listen);
  }, [navigate]);
  const close = () => setOpen(null);
  return (
    <>
      <IconButton label="Commands (Ctrl K)" onClick={() => setOpen("palette")}><Search size={17} /></IconButton>
      {open === "palette" ? <CommandPalette onClose={close} onKey={() => setOpen("key")} onShortcuts={() => setOpen("shortcuts")} /> : null}
      <KeyDialog open={open === "key"} onClose={close} />
      <Dialog open={open === "shortcuts"} onClose={close} title="Keyboard shortcuts" hint="On a Mac, ⌘ is as good as Ctrl.">
        <div className="grid gap-5 sm:grid-cols-2">
          {shortcuts.map((group) => (
            <section key={group.title}>
              <h3 className="mb-1 text-xs font-medium text-ink-3">{group.title}</h3>
              <dl className="flex flex-col">
                {group.keys.map(({ keys, what }) => (
                  <div key={keys} className="flex h-7 items-center gap-3 text-sm"><dt className="flex-1">{what}</dt><dd><kbd className="rounded border border-line bg-sunken px-1.5 py-0.5 font-mono text-xs text-ink-2">{keys}</kbd></dd></div>
                ))}
              </dl>
            </section>
          ))}
        </div>
      </Dialog>
    </>
  );
}
