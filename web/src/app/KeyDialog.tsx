import { useState } from "react";
import { useQueryClient } from "@tanstack/react-query";
import { Button } from "@/ui/button";
import { Dialog } from "@/ui/dialog";
import { Field } from "@/ui/field";
import { SecretInput } from "@/ui/secret";
import { Switch } from "@/ui/switch";
import { currentKey, forgetKey, isRemembered, setKey, trialKey } from "./key";
import { useHealth } from "./health";

/** Takes, shows the state of and forgets the key. The key itself is never shown again. */
export function KeyDialog({ open, onClose }: { open: boolean; onClose: () => void }) {
  return (
    <Dialog
      open={open} onClose={onClose} title="Your Anthropic key"
      hint="It stays in this page and goes with each request to this host, which passes it on to the model and never stores it."
    >
      {open ? <KeyForm onDone={onClose} /> : null}
    </Dialog>
  );
}

function KeyForm({ onDone }: { onDone: () => void }) {
  const [value, setValue] = useState("");
  const [remember, setRemember] = useState(isRemembered());
  const { data: health } = useHealth();
  const queries = useQueryClient();
  const take = (key: string, keep: boolean) => {
    setKey(key, keep);
    void queries.invalidateQueries();
    onDone();
  };
  return (
    <form className="flex flex-col gap-4" onSubmit={(e) => { e.preventDefault(); if (value.trim()) take(value.trim(), remember); }}>
      <Field label="Key" hint={currentKey() ? "A key is set. A new one takes its place; sessions belong to the key they were launched with." : undefined}>
        {(control) => <SecretInput {...control} name="the key" placeholder="sk-ant-…" value={value} onChange={(e) => setValue(e.target.value)} />}
      </Field>
      <Switch checked={remember} onChange={setRemember} label="Keep it until this tab is closed" />
      <div className="flex flex-wrap justify-end gap-2">
        {currentKey() ? <Button look="danger" onClick={() => { forgetKey(); queries.clear(); onDone(); }}>Forget the key</Button> : null}
        {health?.offline ? <Button onClick={() => take(trialKey(), true)}>Try without a key</Button> : null}
        <Button look="primary" type="submit" disabled={!value.trim()}>Use this key</Button>
      </div>
    </form>
  );
}
