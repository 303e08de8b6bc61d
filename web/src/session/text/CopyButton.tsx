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

/** Puts text into the clipboard; says why when the browser refuses (it does on plain http away from localhost). */
export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    toast("The browser did not allow to copy. It needs https or localhost.", "bad");
    return false;
  }
}
