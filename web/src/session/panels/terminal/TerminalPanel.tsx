import { Accessibility, ClipboardPaste, Copy, Eraser, RotateCw, SquareTerminal } from "lucide-react";
import { useEffect, useRef, useState, useSyncExternalStore } from "react";
import { useDark } from "@/app/theme";
import { Badge } from "@/ui/badge";
import { Button, IconButton } from "@/ui/button";
import { Empty } from "@/ui/empty";
import { Notice, ProblemNotice } from "@/ui/notice";
import { toast } from "@/ui/toast";
import { copy as copyText } from "../../text/CopyButton";
import { shellOf } from "./shell";

export default function TerminalPanel({ sessionId }: { sessionId: string }) {
  const shell = shellOf(sessionId);
  const now = useSyncExternalStore(shell.subscribe, shell.snapshot);
  const box = useRef<HTMLDivElement>(null);
  const bar = useRef<HTMLButtonElement>(null);
  const dark = useDark();
  const [reader, setReader] = useState(false);

  useEffect(() => (box.current ? shell.attach(box.current, () => bar.current?.focus()) : undefined), [shell]);
  useEffect(() => shell.paint(), [shell, dark]);
  useEffect(() => shell.setScreenReader(reader), [shell, reader]);

  function copy() {
    const text = shell.selection();
    if (text === "") toast("Nothing is selected in the terminal");
    else void copyText(text, "the selection");
  }
  async function paste() {
    try {
      shell.paste(await navigator.clipboard.readText());
    } catch {
      // It refuses, or (on plain http) has no such function at all.
      toast("The browser doesn't let this page read the clipboard. Press Ctrl+V or Shift+Insert in the terminal.", "bad");
    }
    shell.focus();
  }

  const off = now.state === "refused" && now.problem.status === 403;
  return (
    <div className="flex h-full min-h-0 flex-col">
      <div className="flex shrink-0 items-center gap-1 border-b border-line p-2">
        <Badge tone={now.state === "open" ? "good" : now.state === "connecting" ? "accent" : "plain"}>{now.state === "open" ? "connected" : now.state === "connecting" ? "connecting" : "closed"}</Badge>
        <span className="min-w-0 flex-1 truncate px-1 text-xs text-ink-3">F6 leaves the terminal</span>
        <IconButton small label="Copy the selection" disabled={off} onClick={copy}><Copy size={15} /></IconButton>
        <IconButton small label="Paste" disabled={now.state !== "open"} onClick={() => void paste()}><ClipboardPaste size={15} /></IconButton>
        <IconButton small label="Clear" disabled={off} onClick={() => { shell.clear(); shell.focus(); }}><Eraser size={15} /></IconButton>
        <IconButton small label="Screen reader mode" aria-pressed={reader} disabled={off} onClick={() => setReader(!reader)} className="aria-pressed:bg-accent-soft!"><Accessibility size={15} /></IconButton>
        <Button ref={bar} small disabled={now.state === "connecting" || off} onClick={() => void shell.connect()}><RotateCw size={13} aria-hidden />{now.state === "open" ? "New shell" : "Reconnect"}</Button>
      </div>
      {now.state === "ended" ? <Notice className="m-2">{now.why} Reconnect opens another; the files are as they were left.</Notice> : null}
      {now.state === "refused" && !off ? <ProblemNotice className="m-2" error={now.problem} /> : null}
      {off ? <Empty icon={SquareTerminal} title="The terminal is switched off"><p>{now.problem.detail}</p></Empty> : null}
      <div ref={box} className={off ? "hidden" : "min-h-0 flex-1 overflow-hidden bg-surface p-2"} />
    </div>
  );
}
