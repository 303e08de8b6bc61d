import { CircleAlert, Info, TriangleAlert } from "lucide-react";
import type { ReactNode } from "react";
import { asProblem } from "@/api/problem";
import { cx } from "./cx";

const tones = {
  info: ["bg-accent-soft text-accent-ink", Info], warn: ["bg-warn-soft text-warn", TriangleAlert], bad: ["bg-bad-soft text-bad", CircleAlert],
} as const;

export function Notice({ tone = "info", children, action, className }: { tone?: keyof typeof tones; children: ReactNode; action?: ReactNode; className?: string }) {
  const [look, Icon] = tones[tone];
  return (
    <div role={tone === "bad" ? "alert" : "status"} className={cx("flex items-start gap-2 rounded-md px-3 py-2 text-sm", look, className)}>
      <Icon size={16} className="mt-0.5 shrink-0" aria-hidden />
      <div className="min-w-0 flex-1 break-words">{children}</div>
      {action}
    </div>
  );
}

/** A failure in words: what the host said, field by field. */
export function ProblemNotice({ error, action, className }: { error: unknown; action?: ReactNode; className?: string }) {
  const problem = asProblem(error);
  return (
    <Notice tone="bad" {...(action ? { action } : {})} {...(className ? { className } : {})}>
      {problem.status === 0 ? "The host can't be reached." : problem.detail}
      {problem.errors.length > 0 ? (
        <ul className="mt-1 list-disc pl-4">
          {problem.errors.map((e, i) => <li key={i}>{e.location ? <code className="font-mono text-xs">{e.location}</code> : null} {e.message}</li>)}
        </ul>
      ) : null}
    </Notice>
  );
}
