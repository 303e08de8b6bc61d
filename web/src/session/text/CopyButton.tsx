import { Check, Copy } from "lucide-react";
import { useEffect, useState } from "react";
import { IconButton } from "@/ui/button";
import { toast } from "@/ui/toast";

/** Copies text; says so for a moment. text may be a function, so that long texts are only made when they are wanted. */
export function CopyButton({ text, label = "Copy", className }: { text: string | (() => string); label?: string; className?: string }) {
  const [done, setDone] = useState(false);
  useEffect(() => {
    if (!done) return undefined;
    const timer = setTimeout(() => { setDone(false); }, 1_500);
    return () => { clearTimeout(timer); };
  }, [done]);
  return (
    <IconButton
      small label={done ? "Copied" : label} {...(className ? { className } : {})}
      onClick={() => { void copy(typeof text === "function" ? text() : text).then((ok) => { if (ok) setDone(true); }); }}
    >
      {done ? <Check size={14} className="text-good" /> : <Copy size={14} />}
    </IconButton>
  );
}

/** Puts text into the clipboard; says so when the browser refuses. what, if given, is said when it went well: "Copied the path". */
export async function copy(text: string, what = ""): Promise<boolean> {
  const ok = await write(text);
  if (!ok) toast("The browser did not allow to copy.", "bad");
  else if (what) toast(`Copied ${what}`);
  return ok;
}

async function write(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyOldWay(text);
  }
}

/** Where there is no clipboard API: on plain http, which is how many reach a host in their own network. */
function copyOldWay(text: string): boolean {
  const had = document.activeElement;
  const field = document.createElement("textarea");
  field.value = text;
  field.setAttribute("aria-hidden", "true");
  field.className = "fixed top-0 left-0 opacity-0";
  // Within an open dialog, which keeps the focus to itself.
  (had?.closest("[role=dialog], [role=menu]") ?? document.body).append(field);
  try {
    field.select();
    // Deprecated, but what it does has no other way here.
    const run: unknown = Reflect.get(document, "execCommand");
    return typeof run === "function" && run.call(document, "copy") === true;
  } catch {
    return false;
  } finally {
    field.remove();
    if (had instanceof HTMLElement) had.focus();
  }
}
