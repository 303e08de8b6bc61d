import { useState, type ReactNode } from "react";
import type { Schema } from "@/app/types";
import { Field, Select, TextArea } from "@/ui/field";
import { isRecord } from "./document";
import { LinesField, NumberField, TextField } from "./fields";

interface Props {
  schema: Schema | null | undefined;
  value: Record<string, unknown>;
  /** What holds for a parameter that is not given, beside the schema's default. */
  inherited?: Record<string, unknown> | null | undefined;
  error: (name: string) => string | undefined;
  onChange: (name: string, value: unknown) => void;
}

/** A form made from a JSON Schema of an object. What has no simple form is written as JSON. */
export function SchemaFields({ schema, value, inherited, error, onChange }: Props) {
  const properties = Object.entries(schema?.properties ?? {});
  const unknown = Object.keys(value).filter((name) => !schema?.properties?.[name]);
  return (
    <div className="flex flex-col gap-3">
      {properties.map(([name, s]) => (
        <Property key={name} name={name} schema={s} value={value[name]} fallback={inherited?.[name] ?? s.default} required={schema?.required?.includes(name) ?? false} error={error(name)} onChange={(next) => onChange(name, next)} />
      ))}
      {unknown.map((name) => <JSONField key={name} label={name} value={value[name]} error={error(name)} onChange={(next) => onChange(name, next)} />)}
    </div>
  );
}

function Property({ name, schema, value, fallback, required, error, onChange }: {
  name: string; schema: Schema; value: unknown; fallback: unknown; required: boolean; error: string | undefined; onChange: (value: unknown) => void;
}) {
  const common = { label: <span className="font-mono text-xs">{name}</span>, hint: schema.description, error, required };
  const placeholder = fallback === undefined ? "" : Array.isArray(fallback) ? fallback.map(String).join("\n") : typeof fallback === "string" ? fallback : JSON.stringify(fallback);
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  if (schema.enum || type === "boolean") {
    const options = schema.enum ?? [true, false];
    return (
      <Field {...common}>
        {(control) => (
          <Select {...control} value={value === undefined ? "" : JSON.stringify(value)} onChange={(e) => onChange(e.target.value === "" ? undefined : options.find((o) => JSON.stringify(o) === e.target.value))}>
            <option value="">{placeholder ? `default (${placeholder})` : "not set"}</option>
            {options.map((o) => <option key={String(o)} value={JSON.stringify(o)}>{String(o)}</option>)}
          </Select>
        )}
      </Field>
    );
  }
  if ((type === "integer" || type === "number") && (value === undefined || typeof value === "number")) {
    return <NumberField {...common} value={value} placeholder={placeholder} min={schema.minimum} max={schema.maximum} onChange={onChange} />;
  }
  if (type === "array" && schema.items?.type === "string" && (value === undefined || Array.isArray(value))) {
    return <LinesField {...common} value={(value ?? []).map(String)} placeholder={placeholder || "one a line"} onChange={(next) => onChange(next.length > 0 ? next : undefined)} />;
  }
  if (type === "string" && (value === undefined || typeof value === "string")) {
    return <TextField {...common} mono value={value ?? ""} placeholder={placeholder} onChange={(next) => onChange(next === "" ? undefined : next)} />;
  }
  return <JSONField {...common} value={value} onChange={onChange} />;
}

/** A value as JSON; it is taken whenever it can be read. */
export function JSONField({ label, hint, value, error, onChange, rows = 3 }: { label: ReactNode; hint?: ReactNode; value: unknown; error: string | undefined; onChange: (value: unknown) => void; rows?: number }) {
  const [draft, setDraft] = useState<string>();
  const parsed = draft === undefined ? undefined : parse(draft);
  const shown = draft !== undefined && (parsed === undefined || JSON.stringify(parsed.value) === JSON.stringify(value)) ? draft : value === undefined ? "" : JSON.stringify(value, null, 2);
  return (
    <Field label={label} hint={hint} error={draft !== undefined && parsed === undefined ? "This is no JSON yet." : error}>
      {(control) => (
        <TextArea
          {...control} rows={rows} value={shown} spellCheck={false} className="font-mono text-xs leading-5"
          onChange={(e) => {
            setDraft(e.target.value);
            const next = parse(e.target.value);
            if (next) onChange(next.value);
          }}
        />
      )}
    </Field>
  );
}

function parse(text: string): { value: unknown } | undefined {
  if (text.trim() === "") return { value: undefined };
  try { return { value: JSON.parse(text) as unknown }; } catch { return undefined; }
}

/** An object of parameters as JSON, for a policy whose schema is not known. */
export function ParamsField({ value, error, onChange }: { value: Record<string, unknown>; error: string | undefined; onChange: (value: Record<string, unknown> | undefined) => void }) {
  return <JSONField label="Parameters" hint="An object, as JSON." value={Object.keys(value).length > 0 ? value : undefined} error={error} onChange={(next) => { if (next === undefined || isRecord(next)) onChange(next); }} />;
}
