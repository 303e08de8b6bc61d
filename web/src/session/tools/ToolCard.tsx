import { ChevronRight } from "lucide-react";
import { type ReactNode, useId } from "react";
import { Badge } from "@/ui/badge";
import { cx } from "@/ui/cx";
import { duration } from "@/ui/format";
import { useTimeTip } from "@/ui/when";
import { usePanel } from "../panels/usePanel";
import type { ToolCall } from "../conversation/model";
import { argsOf, commandOutput, fileLines, lineCount, text, toolError, toolName } from "./args";
import { Body } from "./Body";
import { LineCounts } from "./DiffView";
import { useFold } from "./folds";
import { lookOf } from "./look";
import { Running } from "./Running";
import { ApprovalLine, VerdictLine } from "./Verdicts";

/** A tool call: what it is in one line, what gates said of it, and, opened, all of it. thread is what a sub-agent did. */
export function ToolCard({ call, thread }: { call: ToolCall; thread?: ReactNode }) {
  const look = lookOf(call);
  const { show } = usePanel();
  const id = useId();
  // While a person is asked, the question shows what it is about: not twice.
  const asked = call.approval !== undefined && call.approval.decision === undefined;
  const [open, toggle] = useFold(call.id, (look.open || call.failed) && !asked);
  const { icon: Icon, file } = look;
  return (
    <section aria-label={`${look.title}: ${look.subject}`} className="overflow-hidden rounded-lg border border-line bg-surface" data-tool={toolName(call.tool)}>
      <header className="flex min-h-9 items-center gap-2 pr-2">
        <button type="button" aria-expanded={open} aria-controls={id} onClick={toggle} className="flex min-w-0 flex-1 items-center gap-2 self-stretch pl-2 text-left text-sm outline-offset-[-2px] hover:bg-sunken">
          <ChevronRight size={14} aria-hidden className={cx("shrink-0 text-ink-3 transition-transform", open && "rotate-90")} />
          <Icon size={15} aria-hidden className={cx("shrink-0", call.failed ? "text-bad" : "text-ink-2")} />
          <span className="shrink-0 font-medium">{look.title}</span>
          <span className={cx("min-w-0 truncate text-ink-2", toolName(call.tool) === "TodoWrite" || toolName(call.tool) === "Task" || text(argsOf(call), "description") ? "" : "font-mono text-xs")}>{look.subject}</span>
        </button>
        <Facts call={call} />
        {file ? <button type="button" onClick={() => show("viewer", { file })} className="shrink-0 text-xs text-accent-ink underline-offset-2 hover:underline">Open<span className="sr-only"> {file}</span></button> : null}
        <Took call={call} />
      </header>
      {call.verdicts.length > 0 || call.approval ? (
        <div className="flex flex-col gap-1 border-t border-line px-3 py-2">
          {call.verdicts.map((v, i) => <VerdictLine key={i} verdict={v} />)}
          {call.approval ? <ApprovalLine approval={call.approval} /> : null}
        </div>
      ) : null}
      <div id={id} hidden={!open} className="border-t border-line">{open ? <><Body call={withoutEcho(call)} />{thread}</> : null}</div>
    </section>
  );
}

/** A denied call brings the reason as its output, which is said above already; what the CLI itself refuses stands in tags that are for the model. */
function withoutEcho(call: ToolCall): ToolCall {
  const refused = call.failed ? toolError(call.output ?? "") : undefined;
  if (refused !== undefined) return { ...call, output: refused };
  if (!call.failed || !call.verdicts.some((v) => v.decision === "deny" && v.reason === call.output)) return call;
  const silent = { ...call };
  delete silent.output;
  return silent;
}

/** Figures that belong in the head: changed lines, an exit code, how much was found. */
function Facts({ call }: { call: ToolCall }) {
  const args = argsOf(call);
  switch (toolName(call.tool)) {
    case "Write": return <LineCounts before="" after={text(args, "content")} />;
    case "Edit": return <LineCounts before={text(args, "old_string")} after={text(args, "new_string")} />;
    case "Bash": {
      const { code } = commandOutput(call.output ?? "");
      return code === undefined ? null : <Badge tone="bad">exit {code}</Badge>;
    }
    case "Read": case "Grep": case "Glob": {
      if (call.output === undefined || call.failed) return null;
      const lines = lineCount(fileLines(call.output)?.text ?? call.output);
      return <span className="shrink-0 text-xs text-ink-3 max-sm:hidden">{lines} {lines === 1 ? "line" : "lines"}</span>;
    }
    default: return null;
  }
}

function Took({ call }: { call: ToolCall }) {
  const tip = useTimeTip(call.began);
  if (call.ended === undefined) return <Running since={call.began} />;
  if (call.cutOff) return <Badge>cut off</Badge>;
  return (
    <span {...tip} className={cx("shrink-0 text-xs tabular-nums", call.failed ? "text-bad" : "text-ink-3")}>
      {call.failed ? "failed · " : ""}{duration(call.ended - call.began)}
    </span>
  );
}
