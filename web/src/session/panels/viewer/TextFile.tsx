import { useQueryClient } from "@tanstack/react-query";
import { Save, Undo2 } from "lucide-react";
import { useEffect, useState } from "react";
import { request } from "@/api/client";
import { asProblem } from "@/api/problem";
import { Button } from "@/ui/button";
import { loadable } from "@/ui/loadable";
import { Notice, ProblemNotice } from "@/ui/notice";
import { toast } from "@/ui/toast";
import { fileUrl } from "../address";
import { filesKey } from "../data";
import { visible } from "../name";
import type { Preview, Written } from "../types";
import { ConflictDialog } from "./ConflictDialog";
import { draftOf, keepDraft } from "./drafts";
import { linesOf, load, type Loaded } from "./load";
import { TextWaiting } from "./TextWaiting";

const CodeView = loadable(() => import("../code/CodeView"), TextWaiting);

export interface TextFileProps {
  sessionId: string;
  file: string;
  name: string;
  preview: Preview;
  etag: string;
  editing: boolean;
  wrap: boolean;
  onDone: () => void;
}

/** A text, to read or to edit. What is edited is a draft until it is saved; it is never saved over what somebody else has written unseen. */
export function TextFile({ sessionId, file, name, preview, etag, editing, wrap, onDone }: TextFileProps) {
  const client = useQueryClient();
  const disk = preview.content ?? "";
  const first = draftOf(sessionId, file);
  const [text, setText] = useState(first?.text ?? disk);
  // What the file held when editing began. Without changes of one's own it follows the file.
  const [base, setBase] = useState({ text: first?.base ?? disk, etag: first?.etag ?? etag });
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const [theirs, setTheirs] = useState<{ text: string; etag: string }>();
  const dirty = text !== base.text;
  const moved = etag !== base.etag && disk !== base.text;

  // Not dirty: what the agent writes shows at once.
  if (!dirty && (base.etag !== etag || base.text !== disk)) {
    setBase({ text: disk, etag });
    setText(disk);
  }

  useEffect(() => {
    keepDraft(sessionId, file, dirty ? { text, base: base.text, etag: base.etag } : undefined);
  }, [sessionId, file, dirty, text, base]);

  async function write(text: string, over: string): Promise<void> {
    setBusy(true);
    setError(undefined);
    try {
      const bom = preview.encoding === "utf-8-bom" ? "\ufeff" : "";
      const response = await request(fileUrl(sessionId, file), { method: "PUT", body: bom + text, headers: { "If-Match": `"${over}"`, "Content-Type": "application/octet-stream" } });
      const done = await response.json() as Written;
      const tag = done.etag.replaceAll('"', "");
      const saved: Loaded = { kind: "file", etag: tag, cut: false, preview: { ...preview, content: text, etag: tag, size_bytes: done.size_bytes, lines: linesOf(text) } };
      client.setQueryData([...filesKey(sessionId), "preview", file], saved);
      setBase({ text, etag: tag });
      setTheirs(undefined);
      toast(`Saved ${visible(name)}`);
      void client.invalidateQueries({ queryKey: filesKey(sessionId) });
    } catch (failure) {
      if (asProblem(failure).status !== 412) setError(failure);
      else await conflict();
    } finally {
      setBusy(false);
    }
  }

  async function conflict() {
    try {
      const now = await load(sessionId, file, undefined);
      if (now.kind === "file" && now.preview.type === "text" && !now.cut) setTheirs({ text: now.preview.content ?? "", etag: now.etag });
      else setError(new Error("The file has become one that can't be edited here. Copy your text before you leave it."));
    } catch (failure) {
      // It was deleted: there is nothing to compare with, and a new file is what the person wants, if anything.
      if (asProblem(failure).status === 404) setError(new Error("The file was deleted meanwhile. Copy your text, or make the file anew in Files and save again."));
      else setError(failure);
    }
  }

  /** now is what the editor holds: of a long text the state hears a moment later. */
  function save(now = text) {
    if (!editing || busy || now === base.text) return;
    setText(now);
    void write(now, base.etag);
  }

  function discard() {
    setText(disk);
    setBase({ text: disk, etag });
    setError(undefined);
    setTheirs(undefined);
    onDone();
  }

  return (
    <div className="flex h-full min-h-0 flex-col">
      {editing ? (
        <div className="flex shrink-0 items-center gap-2 border-b border-line bg-accent-soft px-3 py-1.5 text-xs text-accent-ink">
          <span role="status" className="min-w-0 flex-1 truncate">{dirty ? "Unsaved changes" : "Editing"}{moved && dirty ? "; the file has changed meanwhile" : ""}</span>
          <Button small look="quiet" onClick={discard}><Undo2 size={13} aria-hidden />{dirty ? "Discard" : "Done"}</Button>
          <Button small look="primary" disabled={!dirty} busy={busy} onClick={() => save()}><Save size={13} aria-hidden />Save</Button>
        </div>
      ) : null}
      {error ? <ProblemNotice className="m-2" error={error} /> : null}
      {!editing && disk === "" ? <Notice className="m-2">The file is empty.</Notice> : null}
      <div className="min-h-0 flex-1">
        <CodeView text={text} name={name} hint={preview.language} label={`Text of ${visible(name)}`} wrap={wrap} editable={editing} onChange={setText} onSave={save} />
      </div>
      {theirs ? (
        <ConflictDialog
          name={name} mine={text} theirs={theirs.text} busy={busy} onClose={() => setTheirs(undefined)}
          onMine={() => void write(text, theirs.etag)}
          onTheirs={() => { setText(theirs.text); setBase(theirs); setTheirs(undefined); onDone(); void client.invalidateQueries({ queryKey: filesKey(sessionId) }); }}
        />
      ) : null}
    </div>
  );
}
