import type { ToolCall } from "../conversation/model";

/** A tool's input as an object; empty when it is none. */
export function argsOf(call: Pick<ToolCall, "arguments">): Record<string, unknown> {
  const value = call.arguments;
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

/** A field as text; "" when it is missing. */
export function text(args: Record<string, unknown>, name: string): string {
  const value = args[name];
  return typeof value === "string" ? value : typeof value === "number" || typeof value === "boolean" ? String(value) : "";
}

/** A path as the workspace's tree has it; undefined outside of the workspace. */
export function inWorkspace(path: string): string | undefined {
  if (path.startsWith("/workspace/")) return path.slice("/workspace/".length);
  return path && !path.startsWith("/") && !path.startsWith("~") ? path.replace(/^\.\//, "") : undefined;
}

/** Server and tool of an MCP tool's name, mcp__server__tool. */
export function mcpOf(tool: string): { server: string; name: string } | undefined {
  const found = /^mcp__(.+?)__(.+)$/.exec(tool);
  return found?.[1] && found[2] ? { server: found[1], name: found[2] } : undefined;
}

/** The tool's one name: newer CLIs call Task Agent. */
export function toolName(tool: string): string { return tool === "Agent" ? "Task" : tool; }

/** What a command printed, and its exit code when Claude Code tells it (it does for failures). */
export function commandOutput(output: string): { code: number | undefined; text: string } {
  const plain = stripAnsi(output);
  const found = /^(?:Error: )?Exit code (\d+)\n?/.exec(plain);
  return found ? { code: Number(found[1]), text: plain.slice(found[0].length) } : { code: undefined, text: plain };
}

// ESC begins these sequences: colours, cursor movements.
const ansi = new RegExp(`${String.fromCharCode(27)}\\[[0-9;?]*[ -/]*[@-~]`, "g");

export function stripAnsi(output: string): string { return output.replace(ansi, ""); }

/** The lines of a file as Read gives them, "   12→text", without their numbers; rest is what follows them. Undefined when they have none. */
export function fileLines(output: string): { from: number; text: string; rest: string } | undefined {
  const lines: string[] = [];
  let from = 0;
  let at = 0;
  while (at < output.length) {
    const end = output.indexOf("\n", at);
    const found = /^ *(\d+)[→\t](.*)$/s.exec(output.slice(at, end < 0 ? output.length : end));
    const number = Number(found?.[1]);
    if (!found || (lines.length > 0 && number !== from + lines.length)) break;
    if (lines.length === 0) from = number;
    lines.push(found[2] ?? "");
    at = end < 0 ? output.length : end + 1;
  }
  return lines.length > 0 ? { from, text: lines.join("\n"), rest: output.slice(at).trim() } : undefined;
}

/** What the CLI says of a call that it refuses, without its tags; undefined when it is something else. */
export function toolError(output: string): string | undefined { return /^<tool_use_error>(?:Error: )?([\s\S]*)<\/tool_use_error>\s*$/.exec(output)?.[1]; }

/** How many lines a text has; a newline at the end begins none. */
export function lineCount(output: string): number { return output === "" ? 0 : output.replace(/\n$/, "").split("\n").length; }

/** A policy's, filter's or person's name as a sentence has it: "policy tools". */
export function byWhom(by: string): string { return by === "person" ? "a person" : by.replace(":", " "); }

/** The pages that a web search found: Claude Code lists them as JSON after "Links:". */
export function linksOf(output: string): { title: string; url: string }[] {
  const found = /^Links: (\[.*\])$/m.exec(output)?.[1];
  if (!found) return [];
  try {
    return (JSON.parse(found) as { title?: unknown; url?: unknown }[]).flatMap(({ title, url }) =>
      typeof url === "string" ? [{ url, title: typeof title === "string" ? title : "" }] : []);
  } catch {
    return [];
  }
}
