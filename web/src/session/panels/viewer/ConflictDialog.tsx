import { useState } from "react";
import { Button } from "@/ui/button";
import { Dialog } from "@/ui/dialog";
import { loadable } from "@/ui/loadable";
import { Skeleton } from "@/ui/skeleton";
import { visible } from "../name";

const DiffView = loadable(() => import("../code/DiffView"), Waiting);
const CodeView = loadable(() => import("../code/CodeView"), Waiting);

type Side = "diff" | "mine" | "theirs";
const sides: [Side, string][] = [["diff", "Difference"], ["theirs", "In the workspace"], ["mine", "Mine"]];

export interface ConflictDialogProps { name: string; mine: string; theirs: string; busy: boolean; onMine: () => void; onTheirs: () => void; onClose: () => void }

/** Asks whose text is to stay when a file has changed since editing began. Closing it keeps the draft and saves nothing. */
export function ConflictDialog({ name, mine, theirs, busy, onMine, onTheirs, onClose }: ConflictDialogProps) {
  const [side, setSide] = useState<Side>("diff");
  return (
    <Dialog open wide onClose={onClose} title={`${visible(name)} has changed`} hint="Something else has written the file since you began to edit it. Whose text is to stay?">
      <div className="flex flex-col gap-3">
        <div role="group" aria-label="Show" className="flex w-max rounded-md border border-line-strong p-0.5">
          {sides.map(([id, title]) => (
            <button key={id} type="button" aria-pressed={side === id} onClick={() => setSide(id)} className="h-7 rounded px-2.5 text-xs text-ink-2 aria-pressed:bg-accent-soft aria-pressed:text-accent-ink">{title}</button>
          ))}
        </div>
        <div className="h-[45dvh] overflow-hidden rounded-md border border-line">
          {side === "diff" ? <DiffView before={theirs} after={mine} name={name} label="From the file in the workspace to mine" wrap /> : null}
          {side === "mine" ? <CodeView text={mine} name={name} label="My text" wrap /> : null}
          {side === "theirs" ? <CodeView text={theirs} name={name} label="Text in the workspace" wrap /> : null}
        </div>
        <div className="flex flex-wrap justify-end gap-2">
          <Button onClick={onClose}>Go on editing</Button>
          <Button onClick={onTheirs}>Take theirs, drop mine</Button>
          <Button look="danger" busy={busy} onClick={onMine}>Overwrite with mine</Button>
        </div>
      </div>
    </Dialog>
  );
}

function Waiting() { return <Skeleton className="h-full" />; }
