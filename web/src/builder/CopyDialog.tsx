import { useState } from "react";
import { Button } from "@/ui/button";
import { Dialog } from "@/ui/dialog";
import { Field, Input } from "@/ui/field";
import { ProblemNotice } from "@/ui/notice";

/** Asks what a copy is to be called. */
export function CopyDialog({ open, title, hint, id, name, busy, error, onCopy, onClose }: {
  open: boolean; title: string; hint: string; id: string; name: string; busy: boolean; error: unknown; onCopy: (id: string, name: string) => void; onClose: () => void;
}) {
  return (
    <Dialog open={open} onClose={onClose} title={title} hint={hint}>
      {open ? <CopyForm id={id} name={name} busy={busy} error={error} onCopy={onCopy} /> : null}
    </Dialog>
  );
}

function CopyForm({ id, name, busy, error, onCopy }: { id: string; name: string; busy: boolean; error: unknown; onCopy: (id: string, name: string) => void }) {
  const [newId, setId] = useState(id);
  const [newName, setName] = useState(name);
  const wrong = /^[a-z0-9_-]{1,64}$/.test(newId) ? undefined : "1 to 64 characters of a-z, 0-9, _ and -.";
  return (
    <form className="flex flex-col gap-3" onSubmit={(e) => { e.preventDefault(); if (!wrong) onCopy(newId, newName); }}>
      <Field label="Id" error={wrong}>{(control) => <Input {...control} value={newId} className="font-mono text-xs" onChange={(e) => setId(e.target.value)} />}</Field>
      <Field label="Name">{(control) => <Input {...control} value={newName} onChange={(e) => setName(e.target.value)} />}</Field>
      {error ? <ProblemNotice error={error} /> : null}
      <Button look="primary" type="submit" className="self-end" busy={busy} disabled={Boolean(wrong) || !newName.trim()}>Save</Button>
    </form>
  );
}
