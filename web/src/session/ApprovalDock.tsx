import { Check, CheckCheck, ShieldQuestion, X } from "lucide-react";
import { type RefObject, useCallback, useEffect, useLayoutEffect, useRef, useState } from "react";
import { Button } from "@/ui/button";
import { cx } from "@/ui/cx";
import { Input } from "@/ui/field";
import { duration } from "@/ui/format";
import type { Approval, ToolCall } from "./conversation/model";
import { useAnswer } from "./detail";
import { Body } from "./tools/Body";
import { lookOf } from "./tools/look";
import { useNow } from "./useNow";
import { useSession } from "./useSession";

/** Keys do nothing for this many milliseconds after an approval appeared: they were meant for something else. */
const guard = 600;

/** The oldest approval that waits, between the conversation and the composer, so that it is seen wherever one has scrolled to. */
export function ApprovalDock({ sessionId, field }: { sessionId: string; field: RefObject<HTMLTextAreaElement | null> }) {
  const waiting = useSession(sessionId, (s) => s.approvals);
  const first = waiting[0];
  if (!first) return null;
  return <Dock key={first.ask} sessionId={sessionId} approval={first} more={waiting.length - 1} field={field} />;
}

function Dock({ sessionId, approval, more, field }: { sessionId: string; approval: Approval; more: number; field: RefObject<HTMLTextAreaElement | null> }) {
  const answer = useAnswer(sessionId);
  const own = useRef<HTMLElement>(null);
  const [denying, setDenying] = useState(false);
  const [reason, setReason] = useState("");
  const call: ToolCall = {
    id: approval.ask, tool: approval.tool, input: approval.input, arguments: approval.arguments, parent: approval.parent, turn: 0, began: approval.at, failed: false, cutOff: false,
    verdicts: [], children: [],
  };
  const { icon: Icon, title, subject } = lookOf(call);
  const decide = useOnce(answer.mutate);

  // A layout effect ends before its elements are taken away, when it still can be seen where the focus is.
  useLayoutEffect(() => {
    const element = own.current;
    const text = field.current;
    const since = performance.now();
    const at = document.activeElement;
    // The focus comes here from nowhere and from an empty message; never from one that is being written, or from a panel.
    if (at === document.body || at === null || (text !== null && at === text && text.value === "")) element?.focus();
    const onKey = (e: globalThis.KeyboardEvent) => {
      if (e.altKey && e.code === "KeyA") { e.preventDefault(); element?.focus(); return; }
      if (e.ctrlKey || e.metaKey || e.altKey || e.repeat || performance.now() - since < guard) return;
      const on = e.target instanceof HTMLElement ? e.target : document.body;
      if (!(on === document.body || element?.contains(on)) || on.matches("input, textarea, select")) return;
      const key = e.key.toLowerCase();
      if (key === "a") decide({ ask: approval.ask, decision: "allow", scope: "once" });
      else if (key === "s") decide({ ask: approval.ask, decision: "allow", scope: "session" });
      else if (key === "d") setDenying(true);
      else return;
      e.preventDefault();
    };
    document.addEventListener("keydown", onKey);
    return () => {
      document.removeEventListener("keydown", onKey);
      // The button that was pressed is gone or can't be pressed any more: the focus goes on to the message, but no phone's keyboard opens by itself.
      const left = document.activeElement;
      if ((left === document.body || element?.contains(left)) && window.matchMedia("(pointer: fine)").matches) text?.focus();
    };
  }, [approval.ask, field, decide]);

  return (
    <section
      ref={own} tabIndex={-1} aria-label={`Approval: ${title}`} data-approval={approval.ask}
      className="overflow-hidden rounded-lg border-2 border-warn bg-surface outline-offset-2"
    >
      <header className="flex flex-wrap items-center gap-x-2 gap-y-1 bg-warn-soft px-3 py-2 text-sm text-warn">
        <ShieldQuestion size={16} aria-hidden />
        <span className="font-medium">May the agent do this?</span>
        <span className="flex min-w-0 items-center gap-1"><Icon size={14} aria-hidden />{title}</span>
        <span className="ml-auto text-xs"><Countdown until={approval.expires} />{more > 0 ? ` · ${more} more` : ""}</span>
      </header>
      <div className="max-h-[30dvh] overflow-y-auto">
        {subject ? <p className="truncate px-3 py-2 text-xs text-ink-2">{subject}</p> : null}
        <Body call={call} />
        {approval.reason ? <p className="px-3 py-2 text-xs text-ink-2">Why you are asked: {approval.reason}</p> : null}
      </div>
      {denying ? (
        <form
          className="flex items-center gap-2 border-t border-line p-2"
          onSubmit={(e) => { e.preventDefault(); decide({ ask: approval.ask, decision: "deny", scope: "once", ...(reason.trim() ? { reason: reason.trim() } : {}) }); }}
        >
          <ReasonInput value={reason} onChange={setReason} onCancel={() => { setDenying(false); own.current?.focus(); }} />
          <Button small type="button" look="quiet" onClick={() => setDenying(false)}>Back</Button>
          <Button small type="submit" look="danger" busy={answer.isPending}>Deny</Button>
        </form>
      ) : (
        <div className="flex flex-wrap items-center gap-2 border-t border-line p-2">
          <Button small look="primary" busy={answer.isPending} aria-keyshortcuts="a" onClick={() => decide({ ask: approval.ask, decision: "allow", scope: "once" })}><Check size={14} aria-hidden />Allow once <Key>A</Key></Button>
          <Button small busy={answer.isPending} aria-keyshortcuts="s" onClick={() => decide({ ask: approval.ask, decision: "allow", scope: "session" })}><CheckCheck size={14} aria-hidden />Allow for this session <Key>S</Key></Button>
          <Button small look="danger" busy={answer.isPending} aria-keyshortcuts="d" onClick={() => setDenying(true)}><X size={14} aria-hidden />Deny <Key>D</Key></Button>
          <span className="ml-auto text-xs text-ink-3 max-md:hidden"><kbd>Alt+A</kbd> comes here</span>
        </div>
      )}
    </section>
  );
}

type Answer = ReturnType<typeof useAnswer>["mutate"];

/** A decision is sent once: a second press before the host has answered is none. After a failure it may be sent again. */
function useOnce(mutate: Answer) {
  const sent = useRef(false);
  return useCallback((decision: Parameters<Answer>[0]) => {
    if (sent.current) return;
    sent.current = true;
    mutate(decision, { onError: () => { sent.current = false; } });
  }, [mutate]);
}

function Key({ children }: { children: string }) { return <kbd aria-hidden className="rounded border border-current px-1 text-[10px] leading-4 opacity-70 max-sm:hidden">{children}</kbd>; }

function ReasonInput({ value, onChange, onCancel }: { value: string; onChange: (next: string) => void; onCancel: () => void }) {
  const own = useRef<HTMLInputElement>(null);
  useEffect(() => { own.current?.focus(); }, []);
  return (
    <Input
      ref={own} className="h-7 flex-1 text-xs" maxLength={2000} aria-label="Reason, which the agent is told" placeholder="Why not? The agent is told (optional)"
      value={value} onChange={(e) => onChange(e.target.value)}
      onKeyDown={(e) => { if (e.key === "Escape") { e.preventDefault(); e.stopPropagation(); onCancel(); } }}
    />
  );
}

function Countdown({ until }: { until: number }) {
  const rest = until - useNow(1000);
  if (rest <= 0) return <>expired: denied</>;
  return <span className={cx("tabular-nums", rest < 30_000 && "font-semibold")}>denied in {duration(Math.floor(rest / 1000) * 1000)} without an answer</span>;
}
