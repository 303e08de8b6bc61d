import {
  Bot, FilePen, FilePlus2, FileSearch, FileText, Globe, ListTodo, type LucideIcon, Notebook, Plug, Search, SquareTerminal, Wrench,
} from "lucide-react";
import type { ToolCall } from "../conversation/model";
import { argsOf, inWorkspace, mcpOf, text, toolName } from "./args";

/** What the head of a tool card shows. */
export interface Look {
  icon: LucideIcon;
  title: string;
  /** One line: what it does it to. */
  subject: string;
  /** The subject is a path of the workspace that the viewer can show. */
  file?: string;
  /** The card begins open. Compact ones are one line until a person wants more. */
  open: boolean;
}

const icons: Record<string, LucideIcon> = {
  Bash: SquareTerminal, BashOutput: SquareTerminal, KillShell: SquareTerminal, Read: FileText, Write: FilePlus2, Edit: FilePen, MultiEdit: FilePen, Grep: Search, Glob: FileSearch,
  WebFetch: Globe, WebSearch: Globe, NotebookEdit: Notebook, TodoWrite: ListTodo, Task: Bot,
};

export function lookOf(call: Pick<ToolCall, "tool" | "arguments" | "input">): Look {
  const name = toolName(call.tool);
  const args = argsOf(call);
  const mcp = mcpOf(call.tool);
  const of = (subject: string, open: boolean): Look => ({ icon: icons[name] ?? Wrench, title: name, subject: subject || call.input, open });
  switch (name) {
    case "Bash": return of(text(args, "description") || text(args, "command"), true);
    case "Read": return withFile(of(ranged(args), false), text(args, "file_path"));
    case "Write": case "Edit": case "MultiEdit": return withFile(of(shortPath(text(args, "file_path")), true), text(args, "file_path"));
    case "NotebookEdit": return withFile(of(shortPath(text(args, "notebook_path")), true), text(args, "notebook_path"));
    case "Grep": return of([text(args, "pattern"), text(args, "path") && `in ${shortPath(text(args, "path"))}`, text(args, "glob")].filter(Boolean).join(" "), false);
    case "Glob": return of([text(args, "pattern"), text(args, "path") && `in ${shortPath(text(args, "path"))}`].filter(Boolean).join(" "), false);
    case "WebFetch": return of(text(args, "url"), true);
    case "WebSearch": return of(text(args, "query"), true);
    case "TodoWrite": return of(todoSummary(args), true);
    case "Task": return { ...of(text(args, "description"), true), title: text(args, "subagent_type") ? `Task · ${text(args, "subagent_type")}` : "Task" };
    default:
      if (mcp) return { icon: Plug, title: `${mcp.server} · ${mcp.name}`, subject: call.input, open: false };
      return of("", false);
  }
}

function withFile(look: Look, path: string): Look {
  const file = inWorkspace(path);
  return file ? { ...look, file } : look;
}

function shortPath(path: string): string { return inWorkspace(path) ?? path; }

function ranged(args: Record<string, unknown>): string {
  const from = Number(text(args, "offset"));
  const lines = Number(text(args, "limit"));
  const range = lines ? ` lines ${from || 1}–${(from || 1) + lines - 1}` : from ? ` from line ${from}` : "";
  return shortPath(text(args, "file_path")) + range;
}

function todoSummary(args: Record<string, unknown>): string {
  const todos = Array.isArray(args.todos) ? (args.todos as { status?: unknown }[]) : [];
  return `${todos.filter((t) => t.status === "completed").length} of ${todos.length} done`;
}
