import { Link } from "@tanstack/react-router";
import { Button } from "@/ui/button";
import { useNow } from "@/ui/clock";
import { duration } from "@/ui/format";
import { Notice, ProblemNotice } from "@/ui/notice";
import type { LaunchState } from "./useLaunch";

/** Where a launch is, in words that a screen reader hears, too. */
export function LaunchStatus({ state, onCancel, onRetry }: { state: LaunchState; onCancel: () => void; onRetry: () => void }) {
  switch (state.step) {
    case "idle": return null;
    case "launching": return <Launching state={state} onCancel={onCancel} />;
    case "sending": return <Notice>{started(state.session.start, state.took)} Sending your message…</Notice>;
    case "failed": return <Failed state={state} onCancel={onCancel} onRetry={onRetry} />;
    case "unsent": return (
      <div className="flex flex-col gap-2">
        <ProblemNotice error={state.problem} />
        <p className="text-sm text-ink-2">
          The agent is running, but it did not get your message. <Link to="/sessions/$sessionId" params={{ sessionId: state.session.session_id }} className="text-accent-ink underline">Open the session</Link>
        </p>
      </div>
    );
  }
}

/** How a start went, for people. */
export function started(start: string, took: number): string { return `Ready in ${duration(took)} (${start} start).`; }

function Launching({ state, onCancel }: { state: Extract<LaunchState, { step: "launching" }>; onCancel: () => void }) {
  const now = useNow(250);
  const queued = state.progress?.at === "queued" ? state.progress.position : 0;
  return (
    <div className="flex flex-col gap-2 rounded-md border border-line bg-sunken p-3">
      <div className="flex items-center gap-2 text-sm">
        <span role="status" className="flex-1">
          {queued > 0 ? `Waiting in the queue: place ${queued}.` : state.progress ? "Starting the sandbox and Claude Code." : "Asking the host."}
        </span>
        <span className="text-xs text-ink-3 tabular-nums" aria-hidden>{duration(Math.max(0, now - state.since))}</span>
        <Button small onClick={onCancel}>Cancel</Button>
      </div>
      <div className="h-1 overflow-hidden rounded-full bg-line"><div className="h-full w-1/3 animate-pulse rounded-full bg-accent" /></div>
    </div>
  );
}

function Failed({ state, onCancel, onRetry }: { state: Extract<LaunchState, { step: "failed" }>; onCancel: () => void; onRetry: () => void }) {
  const now = useNow(500);
  if (state.retryAt === undefined) return <ProblemNotice error={state.problem} action={<Button small onClick={onRetry}>Try again</Button>} />;
  return (
    <Notice tone="warn" action={<span className="flex gap-1"><Button small onClick={onRetry}>Now</Button><Button small onClick={onCancel}>Cancel</Button></span>}>
      {state.problem.detail.replace(/[.\s]*$/, ".")} It is tried again in {Math.max(0, Math.ceil((state.retryAt - now) / 1000))} s.
    </Notice>
  );
}
