import { useState } from "react";
import { useQueryClient } from "@tanstack/react-query";
import { setKey, trialKey } from "@/app/key";
import { Button } from "@/ui/button";
import { Field } from "@/ui/field";
import { SecretInput } from "@/ui/secret";
import { Switch } from "@/ui/switch";

/** Takes the key where it is needed first. */
export function InlineKey({ offline }: { offline: boolean }) {
  const [value, setValue] = useState("");
  const [keep, setKeep] = useState(false);
  const queries = useQueryClient();
  const take = (key: string, remember: boolean) => {
    setKey(key, remember);
    void queries.invalidateQueries({ queryKey: ["sessions"] });
  };
  return (
    <form className="flex flex-col gap-2 rounded-md border border-line bg-sunken p-3" onSubmit={(e) => { e.preventDefault(); if (value.trim()) take(value.trim(), keep); }}>
      <Field label="Your Anthropic key" hint="It stays in this page, goes with each request to this host and is never stored there.">
        {(control) => <SecretInput {...control} name="the key" placeholder="sk-ant-…" value={value} onChange={(e) => setValue(e.target.value)} />}
      </Field>
      <Switch checked={keep} onChange={setKeep} label="Keep it until this tab is closed" />
      <div className="flex flex-wrap gap-2">
        <Button small type="submit" disabled={!value.trim()}>Use this key</Button>
        {offline ? <Button small onClick={() => take(trialKey(), true)}>Try without a key</Button> : null}
      </div>
      {offline ? <p className="text-xs text-ink-3">The offline model answers on this host: no key is needed, and nothing is sent to Anthropic.</p> : null}
    </form>
  );
}
