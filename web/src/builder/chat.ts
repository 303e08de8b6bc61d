import type { AgentEvent } from "@/app/types";

/** A line of the test chat. */
export type Line =
  | { who: "you" | "agent"; text: string }
  | { who: "tool"; id: string; tool: string; input: string; output?: string; failed?: boolean }
  | { who: "approval"; ask: string; tool: string; input: string; reason: string; decision?: string }
  | { who: "note"; text: string; bad?: boolean };

/** The lines after an event. Previews and what is no news in a short chat are left out. */
export function told(lines: Line[], event: AgentEvent): Line[] {
  switch (event.type) {
    case "user": return [...lines, { who: "you", text: event.content }];
    case "text": return [...lines, { who: "agent", text: event.content }];
    case "tool_use": return [...lines, { who: "tool", id: event.id, tool: event.tool, input: event.input }];
    case "tool_result": return lines.map((l) => l.who === "tool" && l.id === event.id ? { ...l, output: event.output, failed: event.is_error } : l);
    case "verdict": return [...lines, { who: "note", text: `${event.decision} by ${event.by}: ${event.reason}`, bad: event.decision === "deny" }];
    case "approval_required": return [...lines, { who: "approval", ask: event.ask, tool: event.tool, input: event.input, reason: event.reason }];
    case "approval_resolved": return lines.map((l) => l.who === "approval" && l.ask === event.ask ? { ...l, decision: event.decision } : l);
    case "error": return [...lines, { who: "note", text: event.message, bad: true }];
    case "complete": return event.status === "completed" ? lines : [...lines, { who: "note", text: `The turn ended: ${event.status}.`, bad: true }];
    default: return lines;
  }
}
