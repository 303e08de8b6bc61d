import { KeyRound } from "lucide-react";
import { useState } from "react";
import { IconButton } from "@/ui/button";
import { cx } from "@/ui/cx";
import { useKey } from "./key";
import { KeyDialog } from "./KeyDialog";

export function KeyMenu() {
  const key = useKey();
  const [open, setOpen] = useState(false);
  return (
    <>
      <IconButton label={key ? "Your key is set" : "Set your key"} onClick={() => setOpen(true)} className={cx(!key && "text-warn")}><KeyRound size={17} /></IconButton>
      <KeyDialog open={open} onClose={() => setOpen(false)} />
    </>
  );
}
