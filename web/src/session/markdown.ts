import type { Conversation, Row } from "./conversation/model";
import { argsOf, byWhom, text } from "./tools/args";
import { lookOf } from "./tools/look";

/** The conversation as a markdown document: what was said, each tool call with what it printed, and how the turns ended. */
export function toMarkdown(conversation: Pick<Conversation, "rows" | "calls">, title: string): string {
  const calls = new Map(conversation.calls.map((c) => [c.id, c]));
  const out: string[] = [`# ${title}`];
  const write = (rows: readonly Row[], depth: number) => {
    for (const row of rows) {
      switch (row.kind) {
        case "user": out.push("## You", row.content, "## Agent"); break;
        case "text": if (!row.live) out.push(quoted(row.content, depth)); break;
        case "thinking": break;
        case "tool": {
          const call = calls.get(row.call);
          if (!call) break;
          const { title: name, subject } = lookOf(call);
          const lines = [`**${name}** ${subject ? code(subject) : ""}`.trim()];
          for (const v of call.verdicts) lines.push(`*${v.decision} by ${byWhom(v.by)}: ${v.reason}*`);
          lines.push(fenced(call.tool === "Bash" ? `$ ${text(argsOf(call), "command")}\n${call.output ?? ""}` : JSON.stringify(call.arguments, null, 2) + (call.output ? `\n\n${call.output}` : "")));
          out.push(quoted(lines.join("\n\n"), depth));
          write(call.children, depth + 1);
          break;
        }
        case "error": out.push(`**Error** ${code(row.code)} ${row.message}`); break;
        case "verdict": out.push(`*${row.verdict.decision} by ${byWhom(row.verdict.by)}: ${row.verdict.reason}*`); break;
        case "notice": out.push(`*${row.text}*`); break;
        case "complete": if (row.status !== "completed") out.push(`*Turn ${row.turn}: ${row.status}*`); break;
      }
    }
  };
  write(conversation.rows, 0);
  return `${out.join("\n\n")}\n`;
}

function quoted(said: string, depth: number): string { return depth === 0 ? said : said.split("\n").map((line) => "> ".repeat(depth) + line).join("\n"); }

/** A fence that is longer than any within. */
function fenced(body: string): string {
  const fence = "`".repeat(Math.max(3, ...[...body.matchAll(/`{3,}/g)].map((m) => m[0].length + 1)));
  return `${fence}\n${body.replace(/\n$/, "")}\n${fence}`;
}

function code(word: string): string { return word.includes("`") ? `\`\` ${word} \`\`` : `\`${word}\``; }
