import type { Tool } from "@/app/types";

// What is offered while a host does not tell its own list (GET /api/configs/tools).
const known: [category: string, tools: [string, string][]][] = [
  ["files", [["Read", "Reads files, images, PDFs and notebooks."], ["Write", "Writes whole files."], ["Edit", "Replaces text in files."], ["Glob", "Finds files by name."], ["Grep", "Searches in files."]]],
  ["shell", [["Bash", "Runs commands in the sandbox."], ["TaskOutput", "Reads what runs in the background."], ["TaskStop", "Ends what runs in the background."]]],
  ["web", [["WebFetch", "Reads web pages."], ["WebSearch", "Searches the web."]]],
  ["planning", [["TodoWrite", "Keeps the task list."], ["EnterPlanMode", "Begins to plan."], ["ExitPlanMode", "Shows the plan for approval."], ["AskUserQuestion", "Asks the person."]]],
  ["agents", [["Task", "Hands work to a sub-agent."], ["Skill", "Runs a skill or a slash command."]]],
  ["notebook", [["NotebookEdit", "Changes cells of Jupyter notebooks."]]],
];

export const fallbackTools: Tool[] = known.flatMap(([category, tools]) => tools.map(([name, description]) => ({ name, category, description })));

/** Tools by category, in the order in which the categories come first. */
export function byCategory(tools: Tool[]): [string, Tool[]][] {
  const out = new Map<string, Tool[]>();
  for (const tool of tools) out.set(tool.category, [...(out.get(tool.category) ?? []), tool]);
  return [...out];
}
