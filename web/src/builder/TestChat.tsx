import { Bot, Send } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { api, request } from "@/api/client";
import { asProblem } from "@/api/problem";
import { useHealth } from "@/app/health";
import { useKey } from "@/app/key";
import type { AgentEvent } from "@/app/types";
import { CredentialFields } from "@/launch/CredentialFields";
import { lacking, mcpEnv, variables, withGiven, type Credentials } from "@/launch/credentials";
import { InlineKey } from "@/launch/InlineKey";
import { launchAgent } from "@/launch/launch";
import { values } from "@/launch/stream";
import { Button } from "@/ui/button";
import { cx } from "@/ui/cx";
import { Input } from "@/ui/field";
import { Notice } from "@/ui/notice";
import { toastProblem } from "@/ui/toast";
import { told, type Line } from "./chat";

type Phase = "none" | "starting" | "ready" | "turn";

/**
 * Talks to an agent that has the configuration as it is written now, in a session of its own that is stopped when the chat is closed.
 * text tells whether the configuration has changed since; id is that of one that is kept as it is written, whose hidden values the host knows.
 */
export function TestChat({ value, text, id: kept }: { value: Record<string, unknown> | undefined; text: string; id: string | undefined }) {
  const key = useKey();
  const { data: health } = useHealth();
  const [lines, setLines] = useState<Line[]>([]);
  const [phase, setPhase] = useState<Phase>("none");
  const [message, setMessage] = useState("");
  const [given, setGiven] = useState<Credentials>({});
  const [missed, setMissed] = useState(false);
  const [agent, setAgent] = useState<{ id: string; text: string }>();
  // The same id for what runs when this is gone.
  const session = useRef<string>(undefined);
  const running = useRef<AbortController>(undefined);
  const end = useRef<HTMLDivElement>(null);
  const vars = value ? variables(value, kept === undefined) : [];
  const stop = () => {
    running.current?.abort();
    const id = session.current;
    session.current = undefined;
    // Nobody is left to be told; the host reaps what it keeps.
    if (id) void api.DELETE("/api/agents/sessions/{session_id}", { params: { path: { session_id: id } } }).catch(() => undefined);
  };
  useEffect(() => stop, []);
  useEffect(() => { end.current?.scrollIntoView({ block: "nearest" }); }, [lines]);

  const note = (said: string, bad = false) => setLines((l) => [...l, { who: "note", text: said, bad }]);
  const send = async () => {
    const said = message.trim();
    if (!said || !value || phase === "starting" || phase === "turn") return;
    if (lacking(vars, given).length > 0) { setMissed(true); return; }
    const abort = new AbortController();
    running.current = abort;
    setMessage("");
    let id = agent?.id;
    try {
      if (!id) {
        setPhase("starting");
        const started = await launchAgent({ api_key: key, ...(kept === undefined ? { config: withGiven(value, given) } : { config_id: kept }), mcp_env: mcpEnv(vars, given) }, abort.signal, () => undefined);
        id = started.session_id;
        session.current = id;
        setAgent({ id: started.session_id, text });
      }
      setPhase("turn");
      const answer = await request(`/api/agents/${id}/chat`, {
        method: "POST", signal: abort.signal, headers: { "Content-Type": "application/json", Accept: "text/event-stream" }, body: JSON.stringify({ message: said }),
      });
      for await (const event of values<AgentEvent>(answer)) setLines((l) => told(l, event));
    } catch (error) {
      if (abort.signal.aborted) return;
      const problem = asProblem(error);
      setMessage(said);
      note(problem.status === 0 ? "The host can't be reached." : problem.message, true);
    }
    setPhase(id ? "ready" : "none");
  };
  const again = () => { stop(); setAgent(undefined); setLines([]); setPhase("none"); };

  return (
    <div className="flex h-full min-h-0 flex-col">
      <div className="flex min-h-0 flex-1 flex-col gap-2 overflow-auto p-3" role="log" aria-label="Test chat">
        {!key ? <InlineKey offline={health?.offline ?? false} /> : null}
        {vars.length > 0 && !agent ? <CredentialFields vars={vars} given={given} missed={missed} onChange={setGiven} /> : null}
        {lines.length === 0 && phase === "none" ? <p className="text-sm text-ink-2">The first message launches an agent with this configuration as it is now, unsaved changes included. It is stopped when you close this.{health?.offline ? " The offline model answers; try “run: ls -la”." : ""}</p> : null}
        {lines.map((line, i) => <Said key={i} line={line} onAnswer={(ask, allow) => void answer(agent?.id, ask, allow)} />)}
        {phase === "starting" ? <p role="status" className="text-sm text-ink-3">Starting the sandbox…</p> : phase === "turn" ? <p role="status" className="animate-pulse text-sm text-ink-3">Working…</p> : null}
        <div ref={end} />
      </div>
      {agent && agent.text !== text ? <Notice tone="warn" className="rounded-none" action={<Button small onClick={again}>Start over</Button>}>The configuration has changed since this agent was launched.</Notice> : null}
      <form className="flex gap-2 border-t border-line p-3" onSubmit={(e) => { e.preventDefault(); void send(); }}>
        <Input aria-label="Message to the test agent" placeholder={value ? "Say something" : "The YAML can't be read yet"} value={message} disabled={!key || !value} onChange={(e) => setMessage(e.target.value)} />
        <Button look="primary" type="submit" aria-label="Send" disabled={!message.trim() || !key || !value} busy={phase === "starting" || phase === "turn"}><Send size={15} aria-hidden /></Button>
      </form>
    </div>
  );
}

async function answer(session: string | undefined, ask: string, allow: boolean) {
  if (!session) return;
  try {
    await api.POST("/api/agents/{session_id}/approvals/{ask}", { params: { path: { session_id: session, ask } }, body: { decision: allow ? "allow" : "deny", scope: "once" } });
  } catch (error) { toastProblem(error); }
}

function Said({ line, onAnswer }: { line: Line; onAnswer: (ask: string, allow: boolean) => void }) {
  switch (line.who) {
    case "you": return <p className="ml-8 self-end rounded-lg bg-accent-soft px-3 py-1.5 text-sm break-words whitespace-pre-wrap">{line.text}</p>;
    case "agent": return <p className="mr-8 flex gap-2 text-sm"><Bot size={16} className="mt-0.5 shrink-0 text-ink-3" aria-hidden /><span className="min-w-0 break-words whitespace-pre-wrap">{line.text}</span></p>;
    case "tool": return (
      <details className="rounded-md border border-line bg-surface px-2 py-1 text-xs">
        <summary className={cx("cursor-pointer truncate font-mono", line.failed && "text-bad")}>{line.tool} {line.input}</summary>
        <pre className="mt-1 max-h-48 overflow-auto whitespace-pre-wrap text-ink-2">{line.output ?? "running"}</pre>
      </details>
    );
    case "approval": return (
      <Notice tone="warn" action={line.decision ? <span className="text-xs">{line.decision}</span> : <span className="flex gap-1"><Button small onClick={() => onAnswer(line.ask, true)}>Allow</Button><Button small look="danger" onClick={() => onAnswer(line.ask, false)}>Deny</Button></span>}>
        <span className="font-mono text-xs">{line.tool} {line.input}</span> {line.reason}
      </Notice>
    );
    case "note": return <p className={cx("text-xs", line.bad ? "text-bad" : "text-ink-3")}>{line.text}</p>;
  }
}
