import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api } from "@/api/client";
import { asProblem } from "@/api/problem";
import type { Session } from "@/app/types";
import { Button } from "@/ui/button";
import { Dialog } from "@/ui/dialog";
import { Notice } from "@/ui/notice";
import { toast } from "@/ui/toast";
import { titleOf } from "./list";

/** Asks before sessions are stopped for good, stops them four at a time, and says which could not be. */
export function StopDialog({ sessions, open, onClose, onStopped }: { sessions: Session[]; open: boolean; onClose: () => void; onStopped: (ids: string[]) => void }) {
  return (
    <Dialog
      open={open} onClose={onClose} title={sessions.length === 1 ? "Stop this session?" : `Stop ${sessions.length} sessions?`}
      hint="Stopping is for good: the sandbox, the workspace with its files and the conversation are removed. Export what you want to keep first."
    >
      {open ? <Confirm sessions={sessions} onClose={onClose} onStopped={onStopped} /> : null}
    </Dialog>
  );
}

function Confirm({ sessions, onClose, onStopped }: { sessions: Session[]; onClose: () => void; onStopped: (ids: string[]) => void }) {
  const queries = useQueryClient();
  const [failed, setFailed] = useState<{ title: string; why: string }[]>([]);
  const [done, setDone] = useState(0);
  const stop = useMutation({
    mutationFn: async () => {
      const stopped: string[] = [];
      const failures: typeof failed = [];
      const queue = [...sessions];
      setDone(0);
      const worker = async () => {
        for (let s = queue.shift(); s; s = queue.shift()) {
          try {
            await api.DELETE("/api/agents/sessions/{session_id}", { params: { path: { session_id: s.session_id } } });
            stopped.push(s.session_id);
          } catch (error) {
            const problem = asProblem(error);
            // Gone already is what was asked for.
            if (problem.status === 404) stopped.push(s.session_id);
            else failures.push({ title: titleOf(s), why: problem.status === 0 ? "the host can't be reached" : problem.detail });
          }
          setDone((n) => n + 1);
        }
      };
      await Promise.all([worker(), worker(), worker(), worker()]);
      return { stopped, failures };
    },
    onSuccess: ({ stopped, failures }) => {
      void queries.invalidateQueries({ queryKey: ["sessions"] });
      onStopped(stopped);
      setFailed(failures);
      if (stopped.length > 0) toast(stopped.length === 1 ? "The session is stopped." : `${stopped.length} sessions are stopped.`);
      if (failures.length === 0) onClose();
    },
  });
  return (
    <div className="flex flex-col gap-3">
      <ul className="flex max-h-60 flex-col gap-1 overflow-auto text-sm">
        {sessions.map((s) => <li key={s.session_id} className="flex gap-2"><span className="min-w-0 flex-1 truncate">{titleOf(s)}</span><code className="text-xs text-ink-3">{s.session_id.slice(0, 13)}</code></li>)}
      </ul>
      {failed.length > 0 ? <Notice tone="bad"><ul>{failed.map((f, i) => <li key={i}>{f.title}: {f.why}</li>)}</ul></Notice> : null}
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>Keep</Button>
        <Button look="danger" busy={stop.isPending} onClick={() => stop.mutate()}>{stop.isPending ? `Stopping ${done} of ${sessions.length}` : failed.length > 0 ? "Try again" : "Stop for good"}</Button>
      </div>
    </div>
  );
}
