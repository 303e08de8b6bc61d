import { Ban, EyeOff, Hand, PencilLine, type LucideIcon } from "lucide-react";
import { Badge, type Tone } from "@/ui/badge";
import type { Approval } from "../conversation/model";
import type { Verdict } from "../types";
import { byWhom } from "./args";

interface Said { word: string; icon: LucideIcon; tone: Tone }

function said(v: Verdict): Said {
  if (v.decision === "deny") return { word: "Denied", icon: Ban, tone: "bad" };
  if (v.decision === "ask") return { word: "Asked", icon: Hand, tone: "warn" };
  return v.gate === "tool.result" ? { word: "Redacted", icon: EyeOff, tone: "warn" } : { word: "Rewritten", icon: PencilLine, tone: "warn" };
}

/** A verdict in words: what was decided, by which policy or filter, and why. */
export function VerdictLine({ verdict }: { verdict: Verdict }) {
  const { word, icon: Icon, tone } = said(verdict);
  return (
    <p className="flex flex-wrap items-baseline gap-x-2 gap-y-0.5 text-xs text-ink-2">
      <Badge tone={tone}><Icon size={12} aria-hidden />{word}</Badge>
      <span>by {byWhom(verdict.by)}</span>
      <span className="min-w-0 break-words">{verdict.reason}</span>
    </p>
  );
}

const deciders: Record<string, string> = { timeout: "nobody in time", interrupt: "the interruption", host: "the host", person: "a person" };

/** How an approval stands or ended. */
export function ApprovalLine({ approval }: { approval: Approval }) {
  if (!approval.decision) return <p className="text-xs"><Badge tone="warn"><Hand size={12} aria-hidden />Waits for you</Badge></p>;
  return (
    <p className="flex flex-wrap items-baseline gap-x-2 text-xs text-ink-2">
      <Badge tone={approval.decision === "allow" ? "good" : "bad"}>{approval.decision === "allow" ? "Allowed" : "Denied"}</Badge>
      <span>by {deciders[approval.by ?? ""] ?? approval.by}</span>
      {approval.why ? <span className="min-w-0 break-words">{approval.why}</span> : null}
    </p>
  );
}
