import { ArrowDown, ArrowUp, Plus } from "lucide-react";
import type { PolicyDetails } from "@/app/types";
import { IconButton } from "@/ui/button";
import { Select } from "@/ui/field";
import { Notice } from "@/ui/notice";
import { Badge } from "@/ui/badge";
import { Entry, Section } from "./fields";
import type { Form } from "./form";
import { ParamsField, SchemaFields } from "./SchemaFields";
import { FiltersField } from "./Sections";

/** Which policies are asked, in which order, with which parameters; and the filters after them. */
export function PoliciesSection({ form, known, names, filters }: {
  form: Form;
  /** What the host tells of its policies; undefined when it does not (an older one). */
  known: PolicyDetails[] | undefined;
  /** Names of its policies, for a host that tells nothing more. */
  names: string[];
  filters: string[];
}) {
  const { view, edit, error } = form;
  const used = view.policies.map((p) => p.name);
  const free = (known?.map((p) => p.name) ?? names).filter((n) => !used.includes(n));
  const move = (i: number, by: number) => {
    const next = view.policies.map((p) => Object.keys(p.params).length > 0 ? p : { name: p.name });
    const [it] = next.splice(i, 1);
    if (it) next.splice(i + by, 0, it);
    edit(["policies"], next);
  };
  return (
    <Section id="policies" title="Policies and filters" hint="Asked in this order at every gate that they know, after the operator's. They can only narrow what those allow.">
      {error(["policies"]) ? <Notice tone="bad">{error(["policies"])}</Notice> : null}
      {view.policies.map((p, i) => {
        const about = known?.find((k) => k.name === p.name);
        const at = ["policies", i, "params"];
        const set = (name: string, value: unknown) => edit([...at, name], value);
        return (
          <Entry key={p.name || i} title={p.name || `Policy ${i + 1}`} onRemove={() => edit(["policies", i], undefined)}>
            <div className="flex flex-wrap items-center gap-2 text-xs text-ink-2">
              <span className="min-w-0 flex-1 max-sm:basis-full">{about?.description ?? "The host tells nothing about this policy."}</span>
              {about?.gates?.map((g) => <Badge key={g}>{g}</Badge>)}
              <IconButton small label={`${p.name} earlier`} disabled={i === 0} onClick={() => move(i, -1)}><ArrowUp size={14} /></IconButton>
              <IconButton small label={`${p.name} later`} disabled={i === view.policies.length - 1} onClick={() => move(i, 1)}><ArrowDown size={14} /></IconButton>
            </div>
            {error(["policies", i, "name"]) ? <Notice tone="bad">{error(["policies", i, "name"])}</Notice> : null}
            {error(at) ? <Notice tone="bad">{error(at)}</Notice> : null}
            {about?.params_schema
              ? <SchemaFields schema={about.params_schema} value={p.params} inherited={about.params} error={(name) => error([...at, name], true)} onChange={set} />
              : <ParamsField value={p.params} error={undefined} onChange={(next) => edit(at, next)} />}
          </Entry>
        );
      })}
      {free.length > 0 ? (
        <span className="flex items-center gap-2">
          <Plus size={15} className="text-ink-3" aria-hidden />
          <Select aria-label="Add a policy" className="w-auto!" value="" onChange={(e) => { if (e.target.value) edit(["policies"], [...view.policies.map((p) => Object.keys(p.params).length > 0 ? p : { name: p.name }), { name: e.target.value }]); }}>
            <option value="">Add a policy…</option>
            {free.map((n) => <option key={n} value={n}>{n}</option>)}
          </Select>
        </span>
      ) : null}
      <FiltersField form={form} known={filters} />
    </Section>
  );
}
