import { ArrowDownToDot, Brain, ChevronRight, CircleAlert } from "lucide-react";
import { memo } from "react";
import { Button } from "@/ui/button";
import { cx } from "@/ui/cx";
import { count, dollars, duration } from "@/ui/format";
import { Notice } from "@/ui/notice";
import { useTimeTip } from "@/ui/when";
import { CopyButton } from "../text/CopyButton";
import { Markdown } from "../text/Markdown";
import { useFold } from "../tools/folds";
import { ToolCard } from "../tools/ToolCard";
import { VerdictLine } from "../tools/Verdicts";
import { useToolCall } from "../useSession";
import type { Row, ToolCall } from "./model";

/** One entry of the conversation. */
export const RowView = memo(function RowView({ sessionId, row }: { sessionId: string; row: Row }) {
  switch (row.kind) {
    case "user": return <UserRow row={row} />;
    case "text": return (
      <div className="group relative">
        {row.cut ? <p className="text-xs text-ink-3">(its beginning follows when it is whole)</p> : null}
        <Markdown text={row.content} live={row.live} />
        {row.live ? null : <CopyButton text={row.content} label="Copy this text" className="absolute -top-1 right-0 bg-canvas opacity-0 group-focus-within:opacity-100 group-hover:opacity-100 pointer-coarse:opacity-100" />}
      </div>
    );
    case "thinking": return <ThinkingRow row={row} />;
    case "tool": return <ToolRow sessionId={sessionId} call={row.call} />;
    case "error": return <Notice tone="bad"><span className="font-mono text-xs">{row.code}</span> {row.message}</Notice>;
    case "verdict": return <VerdictLine verdict={row.verdict} />;
    case "notice": return <p className={cx("flex items-center gap-2 text-xs", row.tone === "bad" ? "text-bad" : "text-ink-3")}>{row.tone === "bad" ? <CircleAlert size={14} aria-hidden /> : <ArrowDownToDot size={14} aria-hidden />}{row.text}</p>;
    case "complete": return <CompleteRow row={row} />;
  }
});

function UserRow({ row }: { row: Extract<Row, { kind: "user" }> }) {
  return <UserText content={row.content} at={row.at} />;
}

/** What a person wrote, and when, in milliseconds since 1970. pending: it is on its way to the host. */
export function UserText({ content, at, pending = false }: { content: string; at?: number; pending?: boolean }) {
  const tip = useTimeTip(at);
  return (
    <div role="group" aria-label={pending ? "You, being sent" : "You"} {...tip} className={cx("group relative mt-2 rounded-lg bg-accent-soft px-3 py-2", pending && "opacity-70")}>
      <p className="pr-8 text-sm break-words whitespace-pre-wrap">{content}</p>
      <CopyButton text={content} label="Copy this message" className="absolute top-1 right-1 opacity-0 group-focus-within:opacity-100 group-hover:opacity-100 pointer-coarse:opacity-100" />
    </div>
  );
}

function ThinkingRow({ row }: { row: Extract<Row, { kind: "text" | "thinking" }> }) {
  const [open, toggle] = useFold(row.key, false);
  return (
    <div className="text-sm">
      <button type="button" aria-expanded={open} onClick={toggle} className="flex w-full min-w-0 items-center gap-2 rounded text-left text-ink-2 hover:text-ink">
        <ChevronRight size={14} aria-hidden className={cx("shrink-0 transition-transform", open && "rotate-90")} />
        <Brain size={15} aria-hidden className="shrink-0" />
        <span className="shrink-0 font-medium">{row.live ? "Thinking…" : "Thought"}</span>
        {open ? null : <span className="min-w-0 truncate text-ink-3">{row.live ? row.content.slice(-160) : row.content.slice(0, 160)}</span>}
      </button>
      {open ? <div className="mt-1 ml-[7px] border-l-2 border-line pl-4 text-ink-2"><Markdown text={row.content} live={row.live} /></div> : null}
    </div>
  );
}

/** A tool call, with what its sub-agent did within it. */
function ToolRow({ sessionId, call: id }: { sessionId: string; call: string }) {
  const call = useToolCall(sessionId, id);
  if (!call) return null;
  return <ToolCard call={call} thread={call.children.length > 0 ? <SubThread sessionId={sessionId} call={call} /> : null} />;
}

/** Rows of a sub-agent that are shown at once: the newest. */
const shownOfThread = 40;

function SubThread({ sessionId, call }: { sessionId: string; call: ToolCall }) {
  const [open, toggle] = useFold(`${call.id}:thread`, call.ended === undefined || call.children.length <= 6);
  const [all, showAll] = useFold(`${call.id}:all`, false);
  const rows = all ? call.children : call.children.slice(-shownOfThread);
  return (
    <div className="border-t border-line px-3 py-2">
      <button type="button" aria-expanded={open} onClick={toggle} className="flex items-center gap-1 text-xs text-ink-2 hover:text-ink">
        <ChevronRight size={13} aria-hidden className={cx("transition-transform", open && "rotate-90")} />
        {call.children.length} {call.children.length === 1 ? "step" : "steps"} of the sub-agent
      </button>
      {open ? (
        <div className="mt-2 flex flex-col gap-2 border-l-2 border-line pl-3" role="group" aria-label="Sub-agent">
          {rows.length < call.children.length ? <Button small onClick={showAll}>Show the first {call.children.length - rows.length}</Button> : null}
          {rows.map((row) => <RowView key={row.key} sessionId={sessionId} row={row} />)}
        </div>
      ) : null}
    </div>
  );
}

const ends = { completed: "Done", interrupted: "Interrupted", failed: "Failed", max_turns: "Stopped: the limit of turns is reached" } as const;

function CompleteRow({ row }: { row: Extract<Row, { kind: "complete" }> }) {
  const tokens = row.usage.input_tokens + row.usage.cache_read_input_tokens + row.usage.cache_creation_input_tokens;
  return (
    <div className="flex flex-wrap items-center gap-x-3 border-b border-line pb-3 text-xs text-ink-3 tabular-nums" role="note" aria-label={`Turn ${row.turn}: ${ends[row.status]}`}>
      <span className={cx("font-medium", row.status === "completed" ? "text-good" : row.status === "failed" ? "text-bad" : "text-warn")}>{ends[row.status]}</span>
      <span>{duration(row.took)}</span>
      {tokens + row.usage.output_tokens > 0 ? <span>{count(tokens)} in, {count(row.usage.output_tokens)} out</span> : null}
      {row.cost > 0 ? <span>{dollars(row.cost)}</span> : null}
    </div>
  );
}
