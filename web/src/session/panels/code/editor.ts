import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { bracketMatching, foldGutter, foldKeymap, indentOnInput, syntaxHighlighting } from "@codemirror/language";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { Compartment, EditorState, type Extension } from "@codemirror/state";
import {
  drawSelection, EditorView, highlightActiveLine, highlightActiveLineGutter, highlightSpecialChars, keymap, lineNumbers, rectangularSelection,
} from "@codemirror/view";
import { lineEnding } from "./ending";
import { highlighting, languageOf } from "./language";

// Everything in role colours, so that light and dark need one theme.
const theme = EditorView.theme({
  "&": { height: "100%", backgroundColor: "var(--surface)", color: "var(--ink)", fontSize: "13px" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--font-mono)", lineHeight: "1.5" },
  ".cm-content": { caretColor: "var(--accent)" },
  ".cm-cursor, .cm-dropCursor": { borderLeftColor: "var(--accent)" },
  ".cm-gutters": { backgroundColor: "var(--surface)", color: "var(--ink-3)", borderRight: "1px solid var(--line)" },
  ".cm-activeLine": { backgroundColor: "color-mix(in srgb, var(--sunken) 60%, transparent)" },
  ".cm-activeLineGutter": { backgroundColor: "var(--sunken)", color: "var(--ink-2)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "var(--accent-soft)" },
  ".cm-selectionMatch": { backgroundColor: "var(--accent-soft)" },
  ".cm-searchMatch": { backgroundColor: "var(--warn-soft)", outline: "1px solid var(--warn)" },
  ".cm-searchMatch.cm-searchMatch-selected": { backgroundColor: "var(--accent-soft)", outline: "1px solid var(--accent)" },
  ".cm-matchingBracket, &.cm-focused .cm-matchingBracket": { backgroundColor: "var(--accent-soft)", outline: "1px solid var(--line-strong)" },
  ".cm-foldPlaceholder": { backgroundColor: "var(--sunken)", borderColor: "var(--line)", color: "var(--ink-2)" },
  ".cm-specialChar": { color: "var(--bad)" },
  ".cm-panels": { backgroundColor: "var(--raised)", color: "var(--ink)", borderColor: "var(--line)" },
  ".cm-panels.cm-panels-top": { borderBottom: "1px solid var(--line)" },
  ".cm-panel.cm-search": { fontSize: "12px", padding: "6px 8px" },
  ".cm-panel.cm-search label": { fontSize: "12px" },
  ".cm-textfield": { backgroundColor: "var(--surface)", border: "1px solid var(--line-strong)", borderRadius: "4px", color: "var(--ink)" },
  ".cm-button": { backgroundImage: "none", backgroundColor: "var(--sunken)", border: "1px solid var(--line-strong)", borderRadius: "4px", color: "var(--ink)" },
  ".cm-panel.cm-search [name=close]": { color: "var(--ink-2)" },
  "&.cm-merge-b .cm-changedLine, .cm-changedLine, .cm-inlineChangedLine": { backgroundColor: "var(--good-soft)" },
  "&.cm-merge-b .cm-changedText, .cm-changedText": { background: "color-mix(in srgb, var(--good) 22%, transparent)" },
  ".cm-deletedChunk": { backgroundColor: "var(--bad-soft)", paddingLeft: "6px" },
  ".cm-deletedChunk .cm-deletedText, .cm-deletedText": { background: "color-mix(in srgb, var(--bad) 22%, transparent)" },
  ".cm-insertedLine, .cm-deletedLine, .cm-deletedLine del": { textDecoration: "none" },
  ".cm-changedLineGutter": { backgroundColor: "var(--good)" },
  ".cm-deletedLineGutter": { backgroundColor: "var(--bad)" },
  ".cm-collapsedLines": { background: "var(--sunken)", color: "var(--ink-2)", padding: "4px 10px", cursor: "pointer" },
});

export interface CodeOptions {
  parent: HTMLElement;
  text: string;
  name: string;
  hint?: string | undefined;
  label: string;
  wrap: boolean;
  editable: boolean;
  extra?: Extension;
  /** Told at once of a change of a short text, of a long one when typing rests or the focus leaves. */
  onChange?: (text: string) => void;
  onSave?: (text: string) => void;
}

/** A text of this many characters is told of when no key was pressed for rest milliseconds: to write it out at every key would be felt. */
const long = 200_000;
const rest = 300;

export interface Code {
  view: EditorView;
  setEditable: (editable: boolean) => void;
  setWrap: (wrap: boolean) => void;
  /** Shows another text, where the person was; it is no change of theirs. */
  setText: (text: string) => void;
  destroy: () => void;
}

/** Puts an editor into parent. Its language is loaded when it is known. */
export function code(o: CodeOptions): Code {
  const editing = new Compartment(), wrapping = new Compartment(), language = new Compartment();
  let told = true;
  let last = o.text;
  let resting: ReturnType<typeof setTimeout> | undefined;
  const tell = () => {
    clearTimeout(resting);
    resting = undefined;
    last = view.state.sliceDoc();
    o.onChange?.(last);
  };
  const flush = () => { if (resting !== undefined) tell(); };
  const editable = (on: boolean): Extension => on
    ? [EditorState.readOnly.of(false), EditorView.editable.of(true), history(), indentOnInput(), highlightActiveLine(), highlightActiveLineGutter(), keymap.of([...historyKeymap, indentWithTab])]
    : [EditorState.readOnly.of(true), EditorView.editable.of(false)];
  const view = new EditorView({
    parent: o.parent,
    state: EditorState.create({
      doc: o.text,
      extensions: [
        EditorState.lineSeparator.of(lineEnding(o.text)), lineNumbers(), foldGutter(), highlightSpecialChars(), drawSelection(), rectangularSelection(), bracketMatching(),
        highlightSelectionMatches(), search({ top: true }), syntaxHighlighting(highlighting), theme,
        // Read-only text still takes focus, so that keys scroll and search it.
        EditorView.contentAttributes.of({ "aria-label": o.label, tabindex: "0" }),
        keymap.of([{ key: "Mod-s", run: () => { flush(); o.onSave?.(view.state.sliceDoc()); return true; } }, ...defaultKeymap, ...searchKeymap, ...foldKeymap]),
        EditorView.updateListener.of((u) => {
          if (!u.docChanged || !told) return;
          clearTimeout(resting);
          if (u.state.doc.length < long) tell();
          else resting = setTimeout(tell, rest);
        }),
        EditorView.domEventHandlers({ blur: () => { flush(); return false; } }),
        editing.of(editable(o.editable)), wrapping.of(o.wrap ? EditorView.lineWrapping : []), language.of([]), o.extra ?? [],
      ],
    }),
  });
  let gone = false;
  void languageOf(o.name, o.hint)?.load().then((l) => { if (!gone) view.dispatch({ effects: language.reconfigure(l) }); });
  return {
    view,
    setEditable: (on) => view.dispatch({ effects: editing.reconfigure(editable(on)) }),
    setWrap: (on) => view.dispatch({ effects: wrapping.reconfigure(on ? EditorView.lineWrapping : []) }),
    setText: (text) => {
      // What comes back is what was told; what was typed since then is newer.
      if (text === last || view.state.sliceDoc() === text) return;
      clearTimeout(resting);
      resting = undefined;
      last = text;
      const top = view.scrollDOM.scrollTop;
      told = false;
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: view.state.toText(text) } });
      told = true;
      view.scrollDOM.scrollTop = top;
    },
    destroy: () => { gone = true; flush(); view.destroy(); },
  };
}
