/** What a key press asks for. `g` begins a sequence: the next key says where to. */
export type Command = "palette" | "shortcuts" | "launch" | "sessions" | "builder" | "platform";

interface Press { key: string; ctrlKey: boolean; metaKey: boolean; altKey: boolean; target: EventTarget | null }

const places: Readonly<Record<string, Command>> = { l: "launch", s: "sessions", b: "builder", p: "platform" };

/** Milliseconds within which the second key of a sequence has to come. */
const patience = 1200;

/** Whether a press goes into what is being written: then only Ctrl-K means us. */
function writing(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName) || target.closest(".cm-editor, .xterm, [role=dialog], [role=menu]") !== null);
}

/** Reads key presses. Returned is what one asks for, or undefined. */
export function reader(): (press: Press, now: number) => Command | undefined {
  let begun = -Infinity;
  return (press, now) => {
    const second = now - begun < patience;
    begun = -Infinity;
    if ((press.ctrlKey || press.metaKey) && !press.altKey && press.key.toLowerCase() === "k") return "palette";
    if (press.ctrlKey || press.metaKey || press.altKey || writing(press.target)) return undefined;
    if (press.key === "?") return "shortcuts";
    if (second && places[press.key]) return places[press.key];
    if (press.key === "g") begun = now;
    return undefined;
  };
}

/** The list that "?" shows. */
export const shortcuts: { title: string; keys: { keys: string; what: string }[] }[] = [
  {
    title: "Everywhere",
    keys: [
      { keys: "Ctrl K", what: "Command palette" }, { keys: "?", what: "This list" }, { keys: "G L", what: "Launch" }, { keys: "G S", what: "Sessions" },
      { keys: "G B", what: "Builder" }, { keys: "G P", what: "Platform" }, { keys: "Esc", what: "Close a dialog" },
    ],
  },
  { title: "Launch", keys: [{ keys: "↑ ↓", what: "Choose a preset" }, { keys: "Ctrl ↵", what: "Launch, from the message" }] },
  { title: "Session", keys: [{ keys: "↵", what: "Send the message" }, { keys: "Shift ↵", what: "New line" }, { keys: "Esc", what: "Interrupt the turn" }] },
  { title: "Builder", keys: [{ keys: "Ctrl S", what: "Save" }, { keys: "Ctrl Z", what: "Undo, in the YAML" }] },
];
