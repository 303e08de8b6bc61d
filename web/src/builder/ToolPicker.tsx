import { useState } from "react";
import type { Tool } from "@/app/types";
import { Button } from "@/ui/button";
import { Checkbox } from "@/ui/checkbox";
import { Input } from "@/ui/field";
import { byCategory } from "./tools";

/** Tools by category, with what each does; names that are in no list (of MCP servers, say) below. */
export function ToolPicker({ tools, chosen, onChange, what }: { tools: Tool[]; chosen: string[]; onChange: (next: string[]) => void; what: string }) {
  const [other, setOther] = useState("");
  const toggle = (name: string, on: boolean) => onChange(on ? [...chosen, name] : chosen.filter((n) => n !== name));
  const names = new Set(tools.map((t) => t.name));
  const rest = chosen.filter((n) => !names.has(n));
  const add = () => {
    const name = other.trim();
    if (name && !chosen.includes(name)) { toggle(name, true); setOther(""); }
  };
  return (
    <div className="flex flex-col gap-3">
      {byCategory(tools).map(([category, list]) => (
        <fieldset key={category}>
          <legend className="mb-1 text-xs font-medium text-ink-3 capitalize">{category}</legend>
          <div className="grid grid-cols-1 gap-x-4 gap-y-1 sm:grid-cols-2">
            {list.map((t) => <Choice key={t.name} name={t.name} description={t.description} checked={chosen.includes(t.name)} onChange={(on) => toggle(t.name, on)} what={what} />)}
          </div>
        </fieldset>
      ))}
      {rest.length > 0 ? (
        <fieldset>
          <legend className="mb-1 text-xs font-medium text-ink-3">Others</legend>
          <div className="grid grid-cols-1 gap-1 sm:grid-cols-2">{rest.map((name) => <Choice key={name} name={name} description="" checked onChange={() => toggle(name, false)} what={what} />)}</div>
        </fieldset>
      ) : null}
      <div className="flex gap-2">
        <Input aria-label={`Another tool for ${what}`} placeholder="mcp__server__tool" spellCheck={false} className="max-w-64 font-mono text-xs" value={other} onChange={(e) => setOther(e.target.value)} onKeyDown={(e) => { if (e.key === "Enter") { e.preventDefault(); add(); } }} />
        <Button onClick={add} disabled={!other.trim()}>Add</Button>
      </div>
    </div>
  );
}

function Choice({ name, description, checked, onChange, what }: { name: string; description: string; checked: boolean; onChange: (on: boolean) => void; what: string }) {
  return (
    <div className="flex items-start gap-2 py-0.5">
      <Checkbox className="mt-0.5" checked={checked} onChange={onChange} label={`${name} for ${what}`} />
      <span className="min-w-0 text-sm leading-5"><span className="font-mono text-xs">{name}</span>{description ? <span className="block text-xs text-ink-3">{description}</span> : null}</span>
    </div>
  );
}
