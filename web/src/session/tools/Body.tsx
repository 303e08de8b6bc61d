import type { ToolCall } from "../conversation/model";
import { Anchor, CodeBlock, Markdown } from "../text/Markdown";
import { Code } from "../text/Code";
import { CopyButton } from "../text/CopyButton";
import { argsOf, commandOutput, fileLines, linksOf, mcpOf, stripAnsi, text, toolName } from "./args";
import { Checklist, todosOf } from "./Checklist";
import { DiffView } from "./DiffView";
import { Output } from "./Output";

/** What a tool card shows when it is open, in the form that fits the tool. */
export function Body({ call }: { call: ToolCall }) {
  const args = argsOf(call);
  switch (toolName(call.tool)) {
    case "Bash": return <BashBody call={call} command={text(args, "command")} />;
    case "Write": return <><DiffView id={call.id} before="" after={text(args, "content")} file={text(args, "file_path")} numbered /><Failure call={call} /></>;
    case "Edit": return <><DiffView id={call.id} before={text(args, "old_string")} after={text(args, "new_string")} file={text(args, "file_path")} /><Failure call={call} /></>;
    case "MultiEdit": return <><Edits call={call} edits={args.edits} file={text(args, "file_path")} /><Failure call={call} /></>;
    case "NotebookEdit": return <NotebookBody call={call} />;
    case "TodoWrite": return <><Checklist todos={todosOf(args.todos)} className="px-3 py-2" /><Failure call={call} /></>;
    case "WebFetch": return <WebBody call={call} url={text(args, "url")} question={text(args, "prompt")} />;
    case "WebSearch": return <SearchBody call={call} query={text(args, "query")} />;
    case "Task": return <TaskBody call={call} prompt={text(args, "prompt")} />;
    case "Read": return <ReadBody call={call} file={text(args, "file_path")} />;
    case "Grep": case "Glob": return <Result call={call} />;
    default: return <OtherBody call={call} />;
  }
}

function BashBody({ call, command }: { call: ToolCall; command: string }) {
  const { code, text: printed } = commandOutput(call.output ?? "");
  return (
    <>
      <div className="flex items-start gap-1 bg-sunken py-1.5 pr-1 pl-3">
        <span aria-hidden className="font-mono text-xs leading-6 text-ink-3 select-none">$</span>
        <pre className="min-w-0 flex-1 pl-1 font-mono text-xs leading-6 break-words whitespace-pre-wrap"><Code text={command} language="bash" /></pre>
        <CopyButton text={command} label="Copy the command" />
      </div>
      {call.output !== undefined ? <div className="border-t border-line"><Output id={call.id} text={printed} bad={call.failed && code === undefined} /></div> : null}
    </>
  );
}

function Edits({ call, edits, file }: { call: ToolCall; edits: unknown; file: string }) {
  const list = Array.isArray(edits) ? (edits as Record<string, unknown>[]) : [];
  return list.map((edit, i) => (
    <div key={i} className={i > 0 ? "border-t border-line" : ""}>
      <DiffView id={`${call.id}.${i}`} before={text(edit, "old_string")} after={text(edit, "new_string")} file={file} />
    </div>
  ));
}

function NotebookBody({ call }: { call: ToolCall }) {
  const args = argsOf(call);
  const mode = text(args, "edit_mode") || "replace";
  const cell = [mode, text(args, "cell_type") || "code", "cell", text(args, "cell_id")].filter(Boolean).join(" ");
  return (
    <div className="px-3 py-2">
      <p className="text-xs text-ink-2">{cell}</p>
      {text(args, "new_source") ? <CodeBlock code={text(args, "new_source")} language={text(args, "cell_type") === "markdown" ? "markdown" : "python"} label={text(args, "cell_type") || "code"} /> : null}
      <Failure call={call} />
    </div>
  );
}

function WebBody({ call, url, question }: { call: ToolCall; url: string; question: string }) {
  return (
    <>
      <div className="px-3 py-2 text-sm break-words">
        <Anchor href={url}>{url}</Anchor>
        {question ? <p className="text-xs text-ink-2">{question}</p> : null}
      </div>
      {call.output ? <div className="border-t border-line"><Result call={call} /></div> : null}
    </>
  );
}

function SearchBody({ call, query }: { call: ToolCall; query: string }) {
  const links = linksOf(call.output ?? "");
  return (
    <>
      <div className="px-3 py-2 text-sm break-words">
        <p>{query}</p>
        {links.length > 0 ? <ul className="mt-1 list-disc pl-5 text-xs">{links.map((l, i) => <li key={i}><Anchor href={l.url}>{l.title || l.url}</Anchor></li>)}</ul> : null}
      </div>
      {call.output ? <div className="border-t border-line"><Result call={call} /></div> : null}
    </>
  );
}

function TaskBody({ call, prompt }: { call: ToolCall; prompt: string }) {
  return (
    <details className="px-3 py-1.5 text-sm">
      <summary className="cursor-pointer text-xs text-ink-2">What it was asked{call.output ? " and what it answered" : ""}</summary>
      <div className="mt-1 border-l-2 border-line pl-3 text-ink-2"><Markdown text={prompt} /></div>
      {call.output ? <div className="mt-2 border-l-2 border-line-strong pl-3"><Markdown text={call.output} /></div> : null}
    </details>
  );
}

/** What was read of a file: its lines with their numbers; what Claude Code adds for the model stands below. */
function ReadBody({ call, file }: { call: ToolCall; file: string }) {
  const read = call.output === undefined || call.failed ? undefined : fileLines(call.output);
  if (!read) return <Result call={call} />;
  return (
    <>
      <Output id={call.id} label="what was read" text={read.text} file={file} from={read.from} />
      {read.rest ? <div className="border-t border-line text-ink-2"><Output id={`${call.id}.rest`} label="the remark" text={read.rest} /></div> : null}
    </>
  );
}

/** An MCP tool, or one that this page knows nothing of. */
function OtherBody({ call }: { call: ToolCall }) {
  const mcp = mcpOf(call.tool);
  return (
    <div>
      {mcp ? <p className="px-3 pt-2 text-xs text-ink-2">Server <span className="font-mono">{mcp.server}</span>, tool <span className="font-mono">{mcp.name}</span></p> : null}
      <Output id={call.id} label="arguments" language="json" text={JSON.stringify(call.arguments ?? {}, null, 2)} />
      {call.output !== undefined ? <div className="border-t border-line"><Output id={call.id} bad={call.failed} label="result" {...pretty(call.output)} /></div> : null}
    </div>
  );
}

function Result({ call }: { call: ToolCall }) {
  if (call.output === undefined) return <p className="px-3 py-1.5 text-xs text-ink-3 italic">Nothing yet</p>;
  return <Output id={call.id} text={stripAnsi(call.output)} bad={call.failed} />;
}

/** Says what went wrong; a success needs no words. */
function Failure({ call }: { call: ToolCall }) {
  return call.failed && call.output ? <div className="border-t border-line"><Output id={call.id} text={call.output} bad /></div> : null;
}

/** JSON is set out for reading; anything else stays. */
function pretty(output: string): { text: string; language?: string } {
  if (!/^\s*[[{]/.test(output)) return { text: output };
  try { return { text: JSON.stringify(JSON.parse(output), null, 2), language: "json" }; } catch { return { text: output }; }
}
