import { useQuery } from "@tanstack/react-query";
import { ArrowUp, Paperclip, Square } from "lucide-react";
import { type KeyboardEvent, type RefObject, useEffect, useId, useRef, useState } from "react";
import { api } from "@/api/client";
import { Button, IconButton } from "@/ui/button";
import { cx } from "@/ui/cx";
import { useCommands, useInterrupt } from "../detail";
import { useSession } from "../useSession";
import { useAttach } from "./attach";
import { type Choice, commandChoices, fileChoices, pathsOf, type Wanted, wantedAt } from "./complete";
import { Queue } from "./Queue";
import { useDrop } from "./useDrop";
import { useOutbox } from "./useOutbox";

/** Where a person writes: Enter sends, Shift+Enter begins a line, / lists commands, @ names files, Esc interrupts. Files that are dropped onto area are attached. */
export function Composer({ sessionId, field, area }: { sessionId: string; field: RefObject<HTMLTextAreaElement | null>; area: RefObject<HTMLElement | null> }) {
  const { box, state, turns } = useOutbox(sessionId);
  const ended = useSession(sessionId, (s) => s.connection.state === "ended" || s.status === "stopping");
  const interrupt = useInterrupt(sessionId);
  const attach = useAttach(sessionId, (mentions) => {
    const now = box.get().draft;
    box.write(now + (now && !/\s$/.test(now) ? " " : "") + mentions);
    field.current?.focus();
  });
  const picker = useRef<HTMLInputElement>(null);
  const [caret, setCaret] = useState(0);
  const [closed, setClosed] = useState(false);
  const list = useId();
  const draft = state.draft;
  const wanted = closed ? undefined : wantedAt(draft, Math.min(caret, draft.length));
  const choices = useChoices(sessionId, wanted);
  const [chosen, setChosen] = useState(0);
  const active = Math.min(chosen, choices.length - 1);

  const write = (text: string, at: number) => {
    box.write(text);
    setCaret(at);
    setClosed(false);
    setChosen(0);
  };
  const put = (insert: string, from: number, to: number) => {
    write(draft.slice(0, from) + insert + draft.slice(to), from + insert.length);
    field.current?.focus();
    requestAnimationFrame(() => { field.current?.setSelectionRange(from + insert.length, from + insert.length); });
  };
  const take = (choice: Choice) => { if (wanted) put(choice.insert, wanted.from, wanted.to); };
  const addFiles = (files: FileList | File[] | null) => { if (!ended && files && files.length > 0) attach.add([...files]); };
  const dropping = useDrop(area, addFiles);
  const submit = () => {
    box.submit(draft, turns);
    setCaret(0);
  };

  const onKeyDown = (e: KeyboardEvent) => {
    if (e.nativeEvent.isComposing) return;
    if (choices.length > 0 && wanted) {
      const step = e.key === "ArrowDown" ? 1 : e.key === "ArrowUp" ? -1 : 0;
      if (step) { e.preventDefault(); setChosen((active + step + choices.length) % choices.length); return; }
      const choice = choices[active];
      if (choice && (e.key === "Tab" || (e.key === "Enter" && choice.insert.trim() !== draft.trim()))) { e.preventDefault(); take(choice); return; }
      if (e.key === "Escape") { e.preventDefault(); e.stopPropagation(); setClosed(true); return; }
    }
    if (e.key === "Enter" && !e.shiftKey && !e.altKey) { e.preventDefault(); submit(); }
  };

  return (
    <div
      className={cx("relative rounded-lg border border-line-strong bg-surface focus-within:border-accent", dropping && "border-accent bg-accent-soft")}
    >
      <Queue box={box} state={state} turns={turns} />
      {choices.length > 0 ? <Choices id={list} choices={choices} active={active} onTake={take} /> : null}
      <textarea
        ref={field} value={draft} rows={2} disabled={ended}
        aria-label="Message" placeholder={ended ? "This session was stopped." : turns.running ? "Write the next message; it is sent when the turn ends." : "Message the agent"}
        role="combobox" aria-expanded={choices.length > 0} aria-controls={list} aria-autocomplete="list" aria-activedescendant={choices.length > 0 ? `${list}-${active}` : undefined}
        className="field-sizing-content block max-h-[40dvh] min-h-14 w-full resize-none bg-transparent px-3 pt-2.5 text-sm outline-none placeholder:text-ink-3 disabled:opacity-60"
        onChange={(e) => write(e.target.value, e.target.selectionStart)}
        onSelect={(e) => setCaret(e.currentTarget.selectionStart)}
        onKeyDown={onKeyDown}
        onPaste={(e) => { if (e.clipboardData.files.length > 0) { e.preventDefault(); addFiles(e.clipboardData.files); } }}
      />
      <div className="flex items-center gap-1 p-1.5">
        <input ref={picker} type="file" multiple hidden aria-label="Files to attach" onChange={(e) => { addFiles(e.target.files); e.target.value = ""; }} />
        <IconButton small label="Attach files" busy={attach.now !== undefined} disabled={ended} onClick={() => picker.current?.click()}><Paperclip size={15} /></IconButton>
        {attach.now ? (
          <span role="status" className="min-w-0 truncate px-1 text-xs text-ink-2 tabular-nums">
            Attaching {attach.now.total > 0 ? `${Math.floor((100 * attach.now.sent) / attach.now.total)} %` : ""} <button type="button" className="text-accent-ink underline underline-offset-2" onClick={attach.cancel}>Cancel</button>
          </span>
        ) : null}
        <span className="min-w-0 flex-1 truncate px-1 text-xs text-ink-3 max-sm:hidden">
          {attach.now || ended ? null : <><kbd>Enter</kbd> sends · <kbd>Shift+Enter</kbd> new line · <kbd>/</kbd> commands · <kbd>@</kbd> files{turns.running ? <> · <kbd>Esc</kbd> interrupts</> : null}</>}
        </span>
        <span className="min-w-0 flex-1 sm:hidden" />
        {turns.running ? <Button small look="danger" busy={interrupt.isPending} onClick={() => interrupt.mutate()}><Square size={12} aria-hidden />Interrupt</Button> : null}
        <Button small look="primary" disabled={!draft.trim() || ended} onClick={submit}><ArrowUp size={14} aria-hidden />{turns.running ? "Queue" : "Send"}</Button>
      </div>
    </div>
  );
}

/** What completes the word under the caret. Commands and paths are asked for when they are wanted. */
function useChoices(sessionId: string, wanted: Wanted | undefined): Choice[] {
  const commands = useCommands(sessionId, wanted?.kind === "command");
  const paths = useQuery({
    queryKey: ["session", sessionId, "files", "paths"], enabled: wanted?.kind === "file", staleTime: 10_000,
    queryFn: async ({ signal }) => {
      const { data } = await api.GET("/api/files/{session_id}", { params: { path: { session_id: sessionId } }, signal });
      return data ? pathsOf(data.tree) : [];
    },
  });
  if (wanted?.kind === "command") return commandChoices(commands.data ?? [], wanted.word);
  if (wanted?.kind === "file") return fileChoices(paths.data ?? [], wanted.word);
  return [];
}

function Choices({ id, choices, active, onTake }: { id: string; choices: readonly Choice[]; active: number; onTake: (choice: Choice) => void }) {
  const own = useRef<HTMLDivElement>(null);
  useEffect(() => { own.current?.children[active]?.scrollIntoView({ block: "nearest" }); }, [active]);
  return (
    <div ref={own} id={id} role="listbox" aria-label="Completions" className="absolute inset-x-0 bottom-full z-20 mb-1 max-h-64 overflow-y-auto rounded-lg border border-line bg-raised p-1 shadow-xl">
      {choices.map((choice, i) => (
        // The text field keeps the focus: its keys choose, and a pointer may, too.
        <div
          key={choice.insert} id={`${id}-${i}`} role="option" aria-selected={i === active} tabIndex={-1}
          onMouseDown={(e) => { e.preventDefault(); onTake(choice); }}
          className={cx("flex cursor-pointer items-baseline gap-3 rounded px-2 py-1 text-sm", i === active && "bg-accent-soft")}
        >
          <span className="shrink-0 font-mono text-xs">{choice.label}</span><span className="min-w-0 truncate text-xs text-ink-2">{choice.hint}</span>
        </div>
      ))}
    </div>
  );
}
