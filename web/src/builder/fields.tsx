import { Plus, Trash2 } from "lucide-react";
import { useState, type ReactNode } from "react";
import { Button, IconButton } from "@/ui/button";
import { Field, Input, TextArea } from "@/ui/field";
import { cx } from "@/ui/cx";

interface Common { label: ReactNode; hint?: ReactNode; error?: string | undefined; required?: boolean; placeholder?: string }

export function TextField({ value, onChange, placeholder, mono = false, list, ...field }: Common & { value: string; onChange: (next: string) => void; mono?: boolean; list?: string }) {
  return <Field {...field}>{(control) => <Input {...control} value={value} placeholder={placeholder} list={list} spellCheck={!mono} className={cx(mono && "font-mono text-xs")} onChange={(e) => onChange(e.target.value)} />}</Field>;
}

export function LongField({ value, onChange, placeholder, rows = 6, ...field }: Common & { value: string; onChange: (next: string) => void; rows?: number }) {
  return <Field {...field}>{(control) => <TextArea {...control} value={value} rows={rows} placeholder={placeholder} className="font-mono text-xs leading-5" onChange={(e) => onChange(e.target.value)} />}</Field>;
}

/** A number; empty is undefined. What is typed stays as it is while it says the same number. */
export function NumberField({ value, onChange, placeholder, min, max, step, ...field }: Common & {
  value: number | undefined; onChange: (next: number | undefined) => void; min?: number | undefined; max?: number | undefined; step?: number;
}) {
  const [draft, setDraft] = useState("");
  const of = (text: string) => text.trim() === "" || Number.isNaN(Number(text)) ? undefined : Number(text);
  const shown = of(draft) === value && draft !== "" ? draft : value === undefined ? "" : String(value);
  return (
    <Field {...field}>
      {(control) => (
        <Input {...control} type="number" inputMode="decimal" value={shown} min={min} max={max} step={step ?? "any"} placeholder={placeholder} onChange={(e) => { setDraft(e.target.value); onChange(of(e.target.value)); }} />
      )}
    </Field>
  );
}

const linesOf = (text: string) => text.split("\n").map((l) => l.trim()).filter((l) => l !== "");

/** A list of texts, one a line. What is typed stays as it is while it says the same list. */
export function LinesField({ value, onChange, placeholder, rows, ...field }: Common & { value: string[]; onChange: (next: string[]) => void; rows?: number }) {
  const [draft, setDraft] = useState("");
  const shown = linesOf(draft).join("\n") === value.join("\n") ? draft : value.join("\n");
  return (
    <Field {...field}>
      {(control) => (
        <TextArea
          {...control} value={shown} rows={rows ?? Math.min(8, Math.max(2, value.length + 1))} placeholder={placeholder} spellCheck={false} className="font-mono text-xs leading-5"
          onChange={(e) => { setDraft(e.target.value); onChange(linesOf(e.target.value)); }}
        />
      )}
    </Field>
  );
}

/** The name of an entry of a map: taken when it is left, so that no half a name is ever in the YAML. */
export function NameInput({ value, taken, label, onRename, error }: { value: string; taken: string[]; label: string; onRename: (to: string) => void; error?: string | undefined }) {
  const [draft, setDraft] = useState<string>();
  const wrong = draft !== undefined && draft !== value && (draft.trim() === "" ? "A name is needed." : taken.includes(draft.trim()) ? "There is one of this name." : "");
  const leave = () => {
    if (draft !== undefined && !wrong && draft.trim() !== value) onRename(draft.trim());
    if (!wrong) setDraft(undefined);
  };
  return (
    <Field label={label} error={wrong || error}>
      {(control) => (
        <Input {...control} value={draft ?? value} spellCheck={false} className="font-mono text-xs" onChange={(e) => setDraft(e.target.value)} onBlur={leave} onKeyDown={(e) => { if (e.key === "Enter") { e.preventDefault(); leave(); } if (e.key === "Escape") setDraft(undefined); }} />
      )}
    </Field>
  );
}

/** Names and values, such as environment variables. */
export function PairsField({ legend, hint, pairs, noun, error, onSet, onRename, onRemove }: {
  legend: string; hint?: ReactNode; pairs: [string, string][]; noun: string; error: (name: string) => string | undefined;
  onSet: (name: string, value: string) => void; onRename: (from: string, to: string) => void; onRemove: (name: string) => void;
}) {
  const names = pairs.map(([name]) => name);
  const [adding, setAdding] = useState("");
  const add = () => {
    const name = adding.trim();
    if (name && !names.includes(name)) { onSet(name, ""); setAdding(""); }
  };
  return (
    <fieldset className="flex flex-col gap-2">
      <legend className="mb-1 text-sm font-medium">{legend}</legend>
      {hint ? <p className="text-xs text-ink-3">{hint}</p> : null}
      {pairs.map(([name, value], i) => (
        <div key={i} className="grid grid-cols-[2fr_3fr_auto] items-start gap-2">
          <NameInput label={`Name of ${noun} ${i + 1}`} value={name} taken={names} error={error(name)} onRename={(to) => onRename(name, to)} />
          <TextField label={`Value of ${name}`} value={value} mono onChange={(next) => onSet(name, next)} />
          <IconButton className="mt-6" label={`Remove ${name}`} onClick={() => onRemove(name)}><Trash2 size={15} /></IconButton>
        </div>
      ))}
      <div className="flex gap-2">
        <Input aria-label={`Name of a new ${noun}`} placeholder={`New ${noun}`} spellCheck={false} className="max-w-56 font-mono text-xs" value={adding} onChange={(e) => setAdding(e.target.value)} onKeyDown={(e) => { if (e.key === "Enter") { e.preventDefault(); add(); } }} />
        <Button onClick={add} disabled={!adding.trim() || names.includes(adding.trim())}><Plus size={15} aria-hidden />Add</Button>
      </div>
    </fieldset>
  );
}

/** A part of the form with a heading to jump to. */
export function Section({ id, title, hint, children }: { id: string; title: string; hint?: ReactNode; children: ReactNode }) {
  return (
    <section id={`part-${id}`} aria-labelledby={`title-${id}`} className="flex flex-col gap-3 border-b border-line px-4 py-5">
      <div>
        <h2 id={`title-${id}`} className="font-semibold">{title}</h2>
        {hint ? <p className="text-xs text-ink-3">{hint}</p> : null}
      </div>
      {children}
    </section>
  );
}

/** An entry of a list with a title and a way to remove it. */
export function Entry({ title, onRemove, children }: { title: string; onRemove: () => void; children: ReactNode }) {
  return (
    <div role="group" aria-label={title} className="flex flex-col gap-3 rounded-lg border border-line bg-surface p-3">
      <div className="flex items-center gap-2">
        <h3 className="min-w-0 flex-1 truncate text-sm font-semibold">{title}</h3>
        <IconButton small label={`Remove ${title}`} onClick={onRemove}><Trash2 size={14} /></IconButton>
      </div>
      {children}
    </div>
  );
}
