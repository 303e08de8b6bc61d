import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";
import { asProblem, type Problem } from "@/api/problem";
import { copy } from "../../text/CopyButton";
import { sendJSON } from "../data";
import type { Ticket } from "../types";

export type ShellState = { state: "connecting" | "open" } | { state: "ended"; why: string } | { state: "refused"; problem: Problem };

/** How long a shell lives on while no panel shows it, in ms. */
const keep = 5 * 60_000;

/** The colours of the page's theme, as the terminal needs them. The sixteen of ANSI are the roles, so that their contrast holds. */
function theme() {
  const style = getComputedStyle(document.documentElement);
  const c = (name: string) => style.getPropertyValue(name).trim();
  const ink = c("--ink"), red = c("--bad"), green = c("--good"), yellow = c("--warn"), blue = c("--accent-ink"), grey = c("--ink-3");
  return {
    background: c("--surface"), foreground: ink, cursor: c("--accent"), cursorAccent: c("--surface"), selectionBackground: c("--accent-soft"),
    black: ink, red, green, yellow, blue, magenta: blue, cyan: green, white: c("--ink-2"),
    brightBlack: grey, brightRed: red, brightGreen: green, brightYellow: yellow, brightBlue: blue, brightMagenta: blue, brightCyan: green, brightWhite: ink,
  };
}

/**
 * A shell in a session's sandbox with the screen that shows it. It outlives the panel for five minutes, so that looking at another panel ends
 * nothing; the host ends it with its WebSocket.
 */
export class Shell {
  readonly #path: string;
  readonly #term = new Terminal({ fontFamily: "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace", fontSize: 13, scrollback: 5_000, cursorBlink: false });
  readonly #fit = new FitAddon();
  readonly #element = document.createElement("div");
  readonly #listeners = new Set<() => void>();
  readonly #gone: () => void;
  #socket: WebSocket | undefined;
  #shown: ShellState = { state: "connecting" };
  #timer = 0;
  #opened = false;
  #round = 0;

  constructor(sessionId: string, gone: () => void) {
    this.#path = `/api/agents/${encodeURIComponent(sessionId)}/terminal`;
    this.#gone = gone;
    this.#element.className = "h-full w-full";
    this.#term.loadAddon(this.#fit);
    this.#term.onData((text) => this.#send(new TextEncoder().encode(text)));
    this.#term.onBinary((text) => this.#send(Uint8Array.from(text, (c) => c.charCodeAt(0))));
    this.#term.onResize(({ cols, rows }) => { if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify({ type: "resize", cols, rows })); });
    this.#term.attachCustomKeyEventHandler((e) => this.#key(e));
  }

  subscribe = (fn: () => void) => { this.#listeners.add(fn); return () => { this.#listeners.delete(fn); }; };
  snapshot = () => this.#shown;

  /** Shows the screen in parent until what it returns is called. leave moves the focus out of it. */
  attach(parent: HTMLElement, leave: () => void): () => void {
    window.clearTimeout(this.#timer);
    this.#leave = leave;
    parent.append(this.#element);
    if (!this.#opened) {
      this.#opened = true;
      this.#term.open(this.#element);
      this.#fit.fit();
      void this.connect();
    }
    const size = new ResizeObserver(() => { if (parent.clientWidth > 0) this.#fit.fit(); });
    size.observe(parent);
    return () => {
      size.disconnect();
      this.#element.remove();
      this.#timer = window.setTimeout(() => this.dispose(), keep);
    };
  }

  #leave: () => void = () => undefined;

  paint() { this.#term.options.theme = theme(); }
  focus() { this.#term.focus(); }
  clear() { this.#term.clear(); }
  setScreenReader(on: boolean) { this.#term.options.screenReaderMode = on; }
  selection(): string { return this.#term.getSelection(); }
  paste(text: string) { this.#term.paste(text); }

  /** Opens a shell; also another after one has ended. */
  async connect() {
    const round = ++this.#round;
    this.#socket?.close();
    this.#show({ state: "connecting" });
    let ticket: Ticket;
    try {
      ticket = await sendJSON<Ticket>("POST", this.#path, { cols: this.#term.cols, rows: this.#term.rows });
    } catch (error) {
      if (round === this.#round) this.#show({ state: "refused", problem: asProblem(error) });
      return;
    }
    if (round !== this.#round) return;
    const url = new URL(`${this.#path}/${encodeURIComponent(ticket.terminal)}`, window.location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(url, ["agcluster.terminal.v1", `ticket.${ticket.ticket}`]);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    let why = "The connection was lost.";
    socket.addEventListener("open", () => { this.#term.reset(); this.#show({ state: "open" }); this.#term.focus(); });
    socket.addEventListener("message", (e: MessageEvent<ArrayBuffer | string>) => {
      if (typeof e.data !== "string") { this.#term.write(new Uint8Array(e.data)); return; }
      const said = JSON.parse(e.data) as { type?: string; code?: number };
      if (said.type === "exit") why = `The shell ended with code ${said.code ?? 0}.`;
    });
    socket.addEventListener("close", (e) => { if (round === this.#round) this.#show({ state: "ended", why: e.reason ? `${why} ${e.reason}` : why }); });
  }

  dispose() {
    this.#round++;
    window.clearTimeout(this.#timer);
    this.#socket?.close();
    this.#term.dispose();
    this.#gone();
  }

  #send(data: Uint8Array<ArrayBuffer>) { if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(data); }

  #show(to: ShellState) {
    this.#shown = to;
    this.#listeners.forEach((fn) => fn());
  }

  /** Keys that are not the shell's: copying, pasting, and F6, which leaves the terminal (Tab belongs to the shell). */
  #key(e: KeyboardEvent): boolean {
    if (e.type !== "keydown") return true;
    if (e.key === "F6") { this.#leave(); e.preventDefault(); return false; }
    if (!e.ctrlKey || !e.shiftKey) return true;
    if (e.key.toLowerCase() === "c" && this.#term.hasSelection()) { void copy(this.#term.getSelection()).then(() => { this.#term.focus(); }); e.preventDefault(); return false; }
    // The browser pastes by itself; xterm only must not see a control character in it.
    return e.key.toLowerCase() !== "v";
  }
}

const shells = new Map<string, Shell>();

export function shellOf(sessionId: string): Shell {
  let shell = shells.get(sessionId);
  if (!shell) {
    shell = new Shell(sessionId, () => { shells.delete(sessionId); });
    shells.set(sessionId, shell);
  }
  return shell;
}
