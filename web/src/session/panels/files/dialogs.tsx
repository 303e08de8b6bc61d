import { useState, type SyntheticEvent } from "react";
import { Button } from "@/ui/button";
import { Dialog } from "@/ui/dialog";
import { Field, Input } from "@/ui/field";
import { ProblemNotice } from "@/ui/notice";
import { Name, visible } from "../name";
import type { Upload } from "./uploads";

/** Why a path can't be one of the workspace; undefined when it can. The host checks again. */
export function wrongPath(path: string): string | undefined {
  if (path === "") return "A name is needed.";
  if (path.startsWith("/")) return "The path is relative to the workspace: leave the slash at its beginning out.";
  if (path.includes("\0")) return "A name can't have a NUL in it.";
  for (const part of path.split("/")) {
    if (part === "") return "There is a slash too many.";
    if (part === "." || part === "..") return `${part} can't be a name.`;
    if (new TextEncoder().encode(part).length > 255) return "A name can have 255 bytes at most.";
  }
  return undefined;
}

export interface PathDialogProps {
  title: string;
  action: string;
  start: string;
  onClose: () => void;
  /** Fails with what is then shown. */
  onPath: (path: string) => Promise<unknown>;
}

/** Asks for a path in the workspace. */
export function PathDialog({ title, action, start, onClose, onPath }: PathDialogProps) {
  const [path, setPath] = useState(start);
  const [tried, setTried] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const wrong = tried ? wrongPath(path) : undefined;

  async function submit(e: SyntheticEvent) {
    e.preventDefault();
    setTried(true);
    if (wrongPath(path)) return;
    setBusy(true);
    try {
      await onPath(path);
      onClose();
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  }

  return (
    <Dialog open onClose={onClose} title={title}>
      <form onSubmit={(e) => void submit(e)} className="flex flex-col gap-3">
        <Field label="Path" hint="Relative to the workspace; missing folders are made." error={wrong} required>
          {(control) => <Input {...control} value={path} onChange={(e) => setPath(e.target.value)} spellCheck={false} autoCapitalize="off" className="font-mono" />}
        </Field>
        {error ? <ProblemNotice error={error} /> : null}
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" busy={busy}>{action}</Button>
        </div>
      </form>
    </Dialog>
  );
}

export interface DeleteDialogProps { paths: readonly string[]; folders: number; onClose: () => void; onDelete: () => Promise<unknown> }

/** Asks before anything is deleted. */
export function DeleteDialog({ paths, folders, onClose, onDelete }: DeleteDialogProps) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const one = paths.length === 1 ? paths[0] : undefined;

  async function go() {
    setBusy(true);
    try {
      await onDelete();
      onClose();
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  }

  return (
    <Dialog open onClose={onClose} title={one === undefined ? `Delete ${paths.length} entries?` : `Delete ${visible(one)}?`} hint="It can't be brought back.">
      <div className="flex flex-col gap-3">
        {folders > 0 ? <p className="text-sm">{folders === 1 ? "A folder is" : `${folders} folders are`} deleted with everything in {folders === 1 ? "it" : "them"}.</p> : null}
        {one === undefined ? <Names paths={paths} /> : null}
        {error ? <ProblemNotice error={error} /> : null}
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Keep</Button>
          <Button look="danger" busy={busy} onClick={() => void go()}>Delete</Button>
        </div>
      </div>
    </Dialog>
  );
}

/** Asks what is to happen with files that an upload would replace. */
export function ReplaceDialog({ exists, onAnswer }: { exists: readonly Upload[]; onAnswer: (replace: boolean) => void }) {
  return (
    <Dialog
      open onClose={() => onAnswer(false)} title={exists.length === 1 ? "The file is there already" : `${exists.length} files are there already`}
      hint="Replace what the workspace has, or keep it and skip these?"
    >
      <div className="flex flex-col gap-3">
        <Names paths={exists.map((u) => u.path)} />
        <div className="flex justify-end gap-2">
          <Button onClick={() => onAnswer(false)}>Skip</Button>
          <Button look="danger" onClick={() => onAnswer(true)}>Replace</Button>
        </div>
      </div>
    </Dialog>
  );
}

const most = 20;

function Names({ paths }: { paths: readonly string[] }) {
  return (
    <ul className="max-h-48 overflow-auto rounded border border-line bg-sunken p-2 font-mono text-xs">
      {paths.slice(0, most).map((p) => <li key={p} className="truncate" title={visible(p)}><Name text={p} /></li>)}
      {paths.length > most ? <li className="text-ink-3">and {paths.length - most} more</li> : null}
    </ul>
  );
}
