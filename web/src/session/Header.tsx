import { useNavigate } from "@tanstack/react-router";
import { Bell, ClipboardCopy, Cpu, EllipsisVertical, OctagonX, PanelRight, RotateCw, ShieldCheck } from "lucide-react";
import { useState } from "react";
import { Badge, type Tone } from "@/ui/badge";
import { Button, IconButton } from "@/ui/button";
import { cx } from "@/ui/cx";
import { Dialog } from "@/ui/dialog";
import { Field, Input } from "@/ui/field";
import { dollars, duration } from "@/ui/format";
import { Menu } from "@/ui/menu";
import { toast } from "@/ui/toast";
import { Tip } from "@/ui/tooltip";
import { useChangeSettings, useSessionDetail, useStop } from "./detail";
import { toMarkdown } from "./markdown";
import { usePanel } from "./panels/usePanel";
import { panels } from "./panels/registry";
import { copy } from "./text/CopyButton";
import { permissionModes, permissionNames } from "./types";
import { useNotifyPermission } from "./useNotify";
import { useNow } from "./useNow";
import { storeOf, useSession } from "./useSession";

export function Header({ sessionId, title }: { sessionId: string; title: string }) {
  const cost = useSession(sessionId, (s) => s.cost);
  const ended = useSession(sessionId, (s) => s.connection.state === "ended");
  const { panel, show, hide } = usePanel();
  return (
    <header className="flex min-h-12 shrink-0 items-center gap-2 border-b border-line bg-surface px-3 py-1.5">
      <h1 className="min-w-0 flex-1 truncate text-sm font-semibold" title={title}>{title}</h1>
      <Live sessionId={sessionId} />
      <Activity sessionId={sessionId} />
      {cost > 0 ? <Tip text="What this session has cost so far, as Claude Code reckons it"><span className="text-xs text-ink-2 tabular-nums max-sm:hidden">{dollars(cost)}</span></Tip> : null}
      {ended ? null : <div className="flex items-center gap-1 max-md:hidden"><ModelSwitch sessionId={sessionId} /><ModeSwitch sessionId={sessionId} /></div>}
      <More sessionId={sessionId} title={title} ended={ended} />
      <IconButton
        small label={panel ? "Close the side panel" : "Open the side panel"} aria-pressed={panel !== ""} className={cx(panel && "bg-accent-soft text-accent-ink")}
        onClick={() => { if (panel) hide(); else show(lastPanel() ?? panels[0]?.id ?? "tasks"); }}
      >
        <PanelRight size={16} />
      </IconButton>
    </header>
  );
}

/** The panel that was looked at last in this tab. */
function lastPanel(): string | undefined {
  try { return sessionStorage.getItem("agcluster.panel") ?? undefined; } catch { return undefined; }
}

/** Whether what one sees is up to date, honestly. */
function Live({ sessionId }: { sessionId: string }) {
  const connection = useSession(sessionId, (s) => s.connection);
  switch (connection.state) {
    case "live": return <Dot tone="good" text="Live" tip="What happens is shown as it happens." />;
    case "connecting": return <Dot tone="plain" text="Connecting" tip="Asking the host." />;
    case "ended": return <Dot tone="plain" text="Ended" tip="This session was stopped. What it did can still be read here until the page is closed." />;
    case "refused": return <Dot tone="bad" text="Refused" tip={connection.problem.detail} />;
    case "reconnecting": return <Reconnecting since={connection.since} away={connection.away} />;
  }
}

function Reconnecting({ since, away }: { since: number; away: boolean }) {
  const now = useNow(1000);
  return <Dot tone="warn" text={`${away ? "Host away" : "Reconnecting"} · ${duration(Math.max(1000, now - since))}`} tip="What you see may be old. It goes on by itself, without a gap." />;
}

function Dot({ tone, text, tip }: { tone: Tone; text: string; tip: string }) {
  return (
    <Tip text={tip}>
      <span role="status" className="flex items-center gap-1.5 text-xs whitespace-nowrap text-ink-2">
        <span aria-hidden className={cx("size-2 rounded-full", { good: "bg-good", plain: "bg-ink-3", bad: "bg-bad", warn: "bg-warn", accent: "bg-accent" }[tone])} />{text}
      </span>
    </Tip>
  );
}

function Activity({ sessionId }: { sessionId: string }) {
  const status = useSession(sessionId, (s) => s.status);
  const position = useSession(sessionId, (s) => s.position);
  const running = useSession(sessionId, (s) => s.running);
  const began = useSession(sessionId, (s) => s.turnBegan);
  const waiting = useSession(sessionId, (s) => s.approvals.length);
  const ended = useSession(sessionId, (s) => s.connection.state === "ended");
  if (ended) return null;
  if (waiting > 0) return <Badge tone="warn">waits for you</Badge>;
  if (status === "queued") return <Badge tone="warn">queued{position > 0 ? `, place ${position}` : ""}</Badge>;
  if (status === "starting") return <Badge tone="accent">starting</Badge>;
  if (running) return <Working since={began} />;
  if (status === "failed") return <Badge tone="bad">failed</Badge>;
  return <Badge>{status === "asleep" || status === "stopping" ? status : "idle"}</Badge>;
}

function Working({ since }: { since: number }) {
  const now = useNow(1000);
  return <Badge tone="accent" className="tabular-nums">working{now - since >= 1000 ? ` · ${duration(Math.floor((now - since) / 1000) * 1000)}` : ""}</Badge>;
}

const switchLook = "field-sizing-content h-7 max-w-44 rounded-md border border-transparent bg-transparent px-1 text-xs text-ink-2 hover:border-line-strong hover:text-ink";

function useSettings(sessionId: string) {
  const detail = useSessionDetail(sessionId).data;
  const model = useSession(sessionId, (s) => s.model);
  const mode = useSession(sessionId, (s) => s.permissionMode);
  return { model: model || (detail?.model ?? detail?.config?.model ?? ""), mode: mode || (detail?.permission_mode ?? detail?.config?.permission_mode ?? "") };
}

function ModeSwitch({ sessionId }: { sessionId: string }) {
  const { mode } = useSettings(sessionId);
  const change = useChangeSettings(sessionId);
  const known = (permissionModes as readonly string[]).includes(mode);
  return (
    <select aria-label="Permission mode" className={switchLook} value={mode} disabled={change.isPending} onChange={(e) => change.mutate({ permission_mode: e.target.value })}>
      {known ? null : <option value={mode}>{mode || "Permissions"}</option>}
      {permissionModes.map((m) => <option key={m} value={m}>{permissionNames[m]}</option>)}
    </select>
  );
}

const aliases = ["opus", "sonnet", "haiku"];

function ModelSwitch({ sessionId }: { sessionId: string }) {
  const { model } = useSettings(sessionId);
  const change = useChangeSettings(sessionId);
  const [asking, setAsking] = useState(false);
  return (
    <>
      <select
        aria-label="Model" className={switchLook} value={model} disabled={change.isPending}
        onChange={(e) => { if (e.target.value === other) setAsking(true); else change.mutate({ model: e.target.value }); }}
      >
        {aliases.includes(model) ? null : <option value={model}>{model || "Model"}</option>}
        {aliases.map((m) => <option key={m} value={m}>{m}</option>)}
        <option value={other}>Another…</option>
      </select>
      <ModelDialog key={String(asking)} open={asking} model={model} onClose={() => setAsking(false)} onChoose={(next) => { change.mutate({ model: next }); setAsking(false); }} />
    </>
  );
}

/** No model is called so. */
const other = " other";

function ModelDialog({ open, model, onClose, onChoose }: { open: boolean; model: string; onClose: () => void; onChoose: (model: string) => void }) {
  const [value, setValue] = useState(model);
  return (
    <Dialog open={open} onClose={onClose} title="Model" hint="A name that the key may use, or an alias. It holds from the next answer on.">
      <form className="flex flex-col gap-3" onSubmit={(e) => { e.preventDefault(); if (value.trim()) onChoose(value.trim()); }}>
        <Field label="Model">{(control) => <Input {...control} value={value} maxLength={200} spellCheck={false} onChange={(e) => setValue(e.target.value)} />}</Field>
        <div className="flex justify-end"><Button look="primary" type="submit" disabled={!value.trim()}>Use it</Button></div>
      </form>
    </Dialog>
  );
}

function More({ sessionId, title, ended }: { sessionId: string; title: string; ended: boolean }) {
  const notify = useNotifyPermission();
  const change = useChangeSettings(sessionId);
  const { model, mode } = useSettings(sessionId);
  const [stopping, setStopping] = useState(false);
  return (
    <>
      <Menu
        label="Session" trigger={<IconButton small label="More"><EllipsisVertical size={16} /></IconButton>}
        items={[
          { label: "Copy as markdown", icon: ClipboardCopy, onSelect: () => { void copy(toMarkdown(storeOf(sessionId).get(), title), "the conversation"); } },
          { label: notify.permission === "granted" ? "Notifications are on" : "Notify me", icon: Bell, disabled: notify.permission === "granted", onSelect: () => { void notify.ask(); } },
          { label: "Read anew", icon: RotateCw, onSelect: () => storeOf(sessionId).open() },
          ...(ended ? [] : [
            null,
            ...aliases.map((m) => ({ label: `Model: ${m}`, icon: Cpu, ...(model.includes(m) ? { hint: "now" } : {}), onSelect: () => change.mutate({ model: m }) })),
            ...permissionModes.map((m) => ({ label: permissionNames[m] ?? m, icon: ShieldCheck, ...(m === mode ? { hint: "now" } : {}), onSelect: () => change.mutate({ permission_mode: m }) })),
            null,
            { label: "Stop the session…", icon: OctagonX, danger: true, onSelect: () => setStopping(true) },
          ]),
        ]}
      />
      <StopDialog sessionId={sessionId} open={stopping} onClose={() => setStopping(false)} />
    </>
  );
}

function StopDialog({ sessionId, open, onClose }: { sessionId: string; open: boolean; onClose: () => void }) {
  const stop = useStop(sessionId);
  const navigate = useNavigate();
  return (
    <Dialog open={open} onClose={onClose} title="Stop this session?" hint="Its sandbox, its workspace and its history are removed for good. Export what you want to keep first.">
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>Keep it</Button>
        <Button look="danger" busy={stop.isPending} onClick={() => stop.mutate(undefined, { onSuccess: () => { onClose(); toast("The session was stopped."); void navigate({ to: "/sessions" }); } })}>Stop the session</Button>
      </div>
    </Dialog>
  );
}
