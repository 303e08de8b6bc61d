import { ListEnd, Pencil, X } from "lucide-react";
import { Button, IconButton } from "@/ui/button";
import type { Outbox, OutboxState, Turns } from "./outbox";

const why = {
  interrupted: "The turn did not end well, so these wait for you.", reloaded: "The page was loaded anew, so these wait for you.", failed: "Not sent:", "": "",
} as const;

/** The messages that wait for the turn to end, each to be changed or taken back. */
export function Queue({ box, state, turns }: { box: Outbox; state: OutboxState; turns: Turns }) {
  if (state.queue.length === 0) return null;
  return (
    <section aria-label="Queued messages" className="border-b border-line px-3 py-2">
      {state.held ? (
        <div className="mb-1 flex items-center gap-2 text-xs text-warn" role="status">
          <span className="min-w-0 flex-1 break-words">{why[state.held]} {state.problem}</span>
          <Button small onClick={() => box.release(turns)}>{turns.running ? "Send after this turn" : "Send now"}</Button>
        </div>
      ) : null}
      <ul className="flex max-h-40 flex-col gap-0.5 overflow-y-auto">
        {state.queue.map((q) => (
          <li key={q.key} className="flex items-center gap-1 text-sm">
            <ListEnd size={14} aria-hidden className="shrink-0 text-ink-3" />
            <span className="min-w-0 flex-1 truncate">{q.text}</span>
            <IconButton small label="Edit this queued message" onClick={() => box.edit(q.key)}><Pencil size={13} /></IconButton>
            <IconButton small label="Remove this queued message" onClick={() => box.remove(q.key)}><X size={13} /></IconButton>
          </li>
        ))}
      </ul>
    </section>
  );
}
