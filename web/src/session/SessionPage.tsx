import { useParams } from "@tanstack/react-router";
import { Link } from "@tanstack/react-router";
import { KeyRound, SearchX } from "lucide-react";
import { useDeferredValue, useEffect, useRef, useState, useSyncExternalStore } from "react";
import { Group, Panel, Separator } from "react-resizable-panels";
import { KeyDialog } from "@/app/KeyDialog";
import { useKey } from "@/app/key";
import { Button } from "@/ui/button";
import { Empty } from "@/ui/empty";
import { Notice } from "@/ui/notice";
import { ApprovalDock } from "./ApprovalDock";
import { Composer } from "./composer/Composer";
import { useNoStrayDrops } from "./composer/useDrop";
import { useOutbox } from "./composer/useOutbox";
import { ConversationView } from "./conversation/ConversationView";
import { UserText } from "./conversation/Thread";
import { useInterrupt, useSessionDetail } from "./detail";
import { Header } from "./Header";
import { preloadPanels } from "./panels/registry";
import { PanelSheet, SidePanel } from "./panels/SidePanel";
import { usePanel } from "./panels/usePanel";
import "./text/markdown.css";
import { useNotify } from "./useNotify";
import { useFollow, useSession } from "./useSession";

export { followAhead } from "./useSession";

export function SessionPage() {
  const { sessionId } = useParams({ from: "/sessions/$sessionId" });
  const key = useKey();
  return key ? <Session key={sessionId} sessionId={sessionId} /> : <NoKey />;
}

function Session({ sessionId }: { sessionId: string }) {
  useFollow(sessionId);
  const refused = useSession(sessionId, (s) => (s.connection.state === "refused" ? s.connection.problem : undefined));
  const some = useSession(sessionId, (s) => s.rows.length > 0);
  const title = useTitle(sessionId);
  useNotify(sessionId, title);
  if (refused && !some) {
    if (refused.status === 401 || refused.status === 403) return <NoKey wrong />;
    if (refused.status === 404) return <Unknown />;
    return <Empty icon={SearchX} title="The host refuses this session"><p>{refused.detail}</p></Empty>;
  }
  return <Open sessionId={sessionId} title={title} />;
}

/** What the session is called: by the host, else by its first message, else by its id. The browser's tab says so, too. */
function useTitle(sessionId: string): string {
  const detail = useSessionDetail(sessionId).data;
  const first = useSession(sessionId, (s) => s.rows.find((r) => r.kind === "user")?.content.trim().split("\n", 1)[0] ?? "");
  const waiting = useSession(sessionId, (s) => s.approvals.length > 0);
  const running = useSession(sessionId, (s) => s.running);
  const title = detail?.title || first.slice(0, 80) || detail?.name || sessionId;
  useEffect(() => {
    document.title = `${waiting ? "(!) " : running ? "… " : ""}${title} · AgCluster`;
    return () => { document.title = "AgCluster"; };
  }, [title, waiting, running]);
  return title;
}

function Open({ sessionId, title }: { sessionId: string; title: string }) {
  const wide = useWide();
  const opened = useSession(sessionId, (s) => s.opened);
  const ended = useSession(sessionId, (s) => s.connection.state === "ended");
  const { panel } = usePanel();
  // Who has one panel open will look at others; who has none asks the sandbox for nothing.
  const ahead = panel !== "" && !ended;
  useEffect(() => (opened ? preloadPanels(ahead ? sessionId : undefined) : undefined), [opened, ahead, sessionId]);
  useNoStrayDrops();
  return (
    <div className="flex h-full min-h-0 flex-col">
      <Header sessionId={sessionId} title={title} />
      {wide && panel ? (
        <Group orientation="horizontal" className="min-h-0 flex-1" defaultLayout={loadLayout()} onLayoutChanged={saveLayout}>
          <Panel id="chat" minSize={340} className="flex min-h-0 flex-col"><Chat sessionId={sessionId} /></Panel>
          <Separator className="w-1.5 bg-canvas outline-offset-[-2px] transition-colors hover:bg-accent-soft data-[separator=active]:bg-accent" aria-label="Width of the side panel" />
          <Panel id="side" minSize={300} className="min-h-0 border-l border-line bg-surface"><SidePanel sessionId={sessionId} /></Panel>
        </Group>
      ) : (
        <div className="flex min-h-0 flex-1 flex-col"><Chat sessionId={sessionId} /></div>
      )}
      {wide ? null : <PanelSheet sessionId={sessionId} />}
    </div>
  );
}

function Chat({ sessionId }: { sessionId: string }) {
  const field = useRef<HTMLTextAreaElement>(null);
  const own = useRef<HTMLDivElement>(null);
  const running = useSession(sessionId, (s) => s.running);
  const { mutate: interrupt } = useInterrupt(sessionId);
  useEffect(() => {
    if (!running) return undefined;
    const onKey = (e: KeyboardEvent) => {
      if (e.key !== "Escape" || e.defaultPrevented) return;
      // Dialogs and panels have an Esc of their own.
      if (e.target === document.body || (e.target instanceof Node && own.current?.contains(e.target))) interrupt();
    };
    document.addEventListener("keydown", onKey);
    return () => { document.removeEventListener("keydown", onKey); };
  }, [running, interrupt]);
  return (
    <div ref={own} className="flex min-h-0 flex-1 flex-col">
      <ConversationView sessionId={sessionId} footer={<Footer sessionId={sessionId} />} />
      <div className="mx-auto flex w-full max-w-4xl shrink-0 flex-col gap-2 px-3 pb-3 sm:px-5">
        <ApprovalDock sessionId={sessionId} field={field} />
        <Composer sessionId={sessionId} field={field} area={own} />
      </div>
      <Announcer sessionId={sessionId} />
    </div>
  );
}

/** What follows the last event: the message that is on its way, and a way to try the last one again. */
function Footer({ sessionId }: { sessionId: string }) {
  const { box, state, turns } = useOutbox(sessionId);
  const ended = useSession(sessionId, (s) => s.connection.state === "ended");
  // The message gives way to its row in the conversation, which is drawn a little later than it is known.
  const drawn = useDeferredValue(turns.turn);
  const last = useSession(sessionId, (s) => s.rows.findLast((r) => r.kind === "user"));
  if (ended) return <Notice tone="warn">This session was stopped. What it did can be read here until the page is closed.</Notice>;
  if (state.sending && state.sending.turn >= drawn) return <UserText content={state.sending.text} pending />;
  const retry = !turns.running && last?.kind === "user" && (turns.lastComplete === "failed" || turns.lastComplete === "interrupted");
  return retry ? <div><Button small onClick={() => box.submit(last.content, turns)}>Try the last message again</Button></div> : null;
}

const said: Record<string, string> = { completed: "The agent is done.", interrupted: "The turn was interrupted.", failed: "The turn failed.", max_turns: "The limit of turns is reached." };

/** Tells a screen reader what one sees at a glance. */
function Announcer({ sessionId }: { sessionId: string }) {
  const opened = useSession(sessionId, (s) => s.opened);
  const running = useSession(sessionId, (s) => s.running);
  const waiting = useSession(sessionId, (s) => s.approvals[0]);
  const end = useSession(sessionId, (s) => s.lastComplete);
  const text = !opened ? "" : waiting ? `Waits for your approval: ${waiting.tool} ${waiting.input}` : running ? "The agent works." : said[end] ?? "";
  return <p aria-live="polite" className="sr-only">{text}</p>;
}

function NoKey({ wrong = false }: { wrong?: boolean }) {
  const [asking, setAsking] = useState(false);
  return (
    <>
      <Empty icon={KeyRound} title={wrong ? "This session belongs to another key" : "Whose session is this?"}>
        <p>A session is shown to the key that it was launched with. {wrong ? "Set that key, or see the sessions of yours." : "Set it, and the conversation is here."}</p>
        <div className="mt-3 flex justify-center gap-2">
          <Button look="primary" onClick={() => setAsking(true)}>{wrong ? "Set another key" : "Set your key"}</Button>
          {wrong ? <Link to="/sessions" className="inline-flex h-9 items-center px-2 text-accent-ink underline">Your sessions</Link> : null}
        </div>
      </Empty>
      <KeyDialog open={asking} onClose={() => setAsking(false)} />
    </>
  );
}

function Unknown() {
  return (
    <Empty icon={SearchX} title="There is no such session">
      <p>It was stopped, or the address is not right.</p>
      <p className="mt-3"><Link to="/sessions" className="text-accent-ink underline">See your sessions</Link> or <Link to="/launch" className="text-accent-ink underline">launch a new one</Link>.</p>
    </Empty>
  );
}

const wideQuery = "(min-width: 960px)";

function useWide(): boolean {
  return useSyncExternalStore(
    (fn) => { const q = window.matchMedia(wideQuery); q.addEventListener("change", fn); return () => { q.removeEventListener("change", fn); }; },
    () => window.matchMedia(wideQuery).matches,
  );
}

const layoutSlot = "agcluster.layout";

/** How wide the two parts are, in per cent. It is a matter of taste, not of a session: it outlives the tab. */
function loadLayout(): Record<string, number> {
  try {
    const was = JSON.parse(localStorage.getItem(layoutSlot) ?? "{}") as Record<string, unknown>;
    if (typeof was.chat === "number" && typeof was.side === "number") return { chat: was.chat, side: was.side };
  } catch { /* the usual one */ }
  return { chat: 58, side: 42 };
}

function saveLayout(layout: Record<string, number>) {
  try { localStorage.setItem(layoutSlot, JSON.stringify(layout)); } catch { /* it holds for this page */ }
}
