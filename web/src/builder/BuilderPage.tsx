import { useNavigate, useSearch } from "@tanstack/react-router";
import { useQuery } from "@tanstack/react-query";
import { Button } from "@/ui/button";
import { Select } from "@/ui/field";
import { Skeleton } from "@/ui/skeleton";
import { useConfigs } from "@/app/catalog";
import { Failure } from "@/app/Failure";
import { Editor } from "./Editor";
import { yamlQuery } from "./saved";
import { template } from "./template";

/** Makes and changes configurations. */
export function BuilderPage() {
  const { config } = useSearch({ from: "/builder" });
  return config ? <Existing key={config} id={config} /> : <Editor key="new" origin={{ kind: "new" }} text={template} picker={<Picker id="" />} />;
}

function Existing({ id }: { id: string }) {
  const yaml = useQuery(yamlQuery(id));
  const configs = useConfigs();
  const navigate = useNavigate();
  if (yaml.data !== undefined && configs.data) {
    const own = configs.data.find((c) => c.id === id)?.custom ?? false;
    return <Editor origin={{ kind: own ? "own" : "preset", id }} text={yaml.data} picker={<Picker id={id} />} />;
  }
  const error = yaml.error ?? configs.error;
  return (
    <div className="flex h-full flex-col">
      <header className="flex items-center gap-2 border-b border-line px-3 py-2"><h1 className="sr-only">Builder</h1><Picker id={id} /></header>
      {error ? (
        <>
          <Failure error={error} what={`configuration “${id}”`} onRetry={() => { void yaml.refetch(); void configs.refetch(); }} />
          <Button className="mx-auto mb-8" onClick={() => void navigate({ to: "/builder", search: {} })}>Begin a new one</Button>
        </>
      ) : <div className="grid flex-1 gap-4 p-4 lg:grid-cols-2" aria-busy><Skeleton className="h-full min-h-64" /><Skeleton className="h-full max-lg:hidden" /></div>}
    </div>
  );
}

function Picker({ id }: { id: string }) {
  const configs = useConfigs().data ?? [];
  const navigate = useNavigate();
  const own = configs.filter((c) => c.custom);
  const options = (list: typeof configs) => list.map((c) => <option key={c.id} value={c.id}>{c.name}</option>);
  return (
    <Select aria-label="Configuration" className="h-7! w-auto! max-w-52 text-xs" value={id} onChange={(e) => void navigate({ to: "/builder", search: e.target.value ? { config: e.target.value } : {} })}>
      <option value="">New configuration</option>
      {own.length > 0 ? <optgroup label="Your own">{options(own)}</optgroup> : null}
      <optgroup label="Presets">{options(configs.filter((c) => !c.custom))}</optgroup>
      {id && !configs.some((c) => c.id === id) ? <option value={id}>{id}</option> : null}
    </Select>
  );
}
