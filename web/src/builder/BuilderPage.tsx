import { useNavigate, useSearch } from "@tanstack/react-router";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { FileWarning, FileX, Pencil, Trash2 } from "lucide-react";
import { useState } from "react";
import { Button } from "@/ui/button";
import { Empty } from "@/ui/empty";
import { Select } from "@/ui/field";
import { ProblemNotice } from "@/ui/notice";
import { Skeleton } from "@/ui/skeleton";
import { isMissing, useBroken, useConfigs } from "@/app/catalog";
import { Failure } from "@/app/Failure";
import { Editor } from "./Editor";
import { edit } from "./document";
import { drop, yamlQuery } from "./saved";
import { template } from "./template";

/** Makes and changes configurations. */
export function BuilderPage() {
  const { config } = useSearch({ from: "/builder" });
  return config ? <Existing key={config} id={config} /> : <Editor key="new" origin={{ kind: "new" }} text={template} picker={<Picker id="" />} />;
}

function Existing({ id }: { id: string }) {
  const yaml = useQuery(yamlQuery(id));
  const configs = useConfigs();
  const broken = useBroken().data?.find((b) => b.id === id);
  const navigate = useNavigate();
  if (broken) return <Broken id={id} why={broken.error} />;
  if (yaml.data !== undefined && configs.data) {
    const own = configs.data.find((c) => c.id === id)?.custom ?? false;
    return <Editor origin={{ kind: own ? "own" : "preset", id }} text={yaml.data} picker={<Picker id={id} />} />;
  }
  const error = yaml.error ?? configs.error;
  return (
    <div className="flex h-full flex-col">
      <header className="flex items-center gap-2 border-b border-line px-3 py-2"><h1 className="sr-only">Builder</h1><Picker id={id} /></header>
      {isMissing(error) ? (
        <Empty icon={FileX} title={`There is no configuration “${id}”`}>
          <p>It was deleted, or the address is not right.</p>
          <Button className="mt-3" onClick={() => void navigate({ to: "/builder", search: {} })}>Begin a new one</Button>
        </Empty>
      ) : error ? <Failure error={error} what={`configuration “${id}”`} onRetry={() => { void yaml.refetch(); void configs.refetch(); }} /> : <div className="grid flex-1 gap-4 p-4 lg:grid-cols-2" aria-busy><Skeleton className="h-full min-h-64" /><Skeleton className="h-full max-lg:hidden" /></div>}
    </div>
  );
}

/** One of the users' own that the host can't read: it is written anew under its id, or deleted. */
function Broken({ id, why }: { id: string; why: string }) {
  const navigate = useNavigate();
  const queries = useQueryClient();
  const [anew, setAnew] = useState(false);
  const remove = useMutation({
    mutationFn: () => drop(id),
    onSuccess: () => {
      void queries.invalidateQueries({ queryKey: ["configs"] });
      void navigate({ to: "/builder", search: {} });
    },
  });
  if (anew) return <Editor origin={{ kind: "own", id }} text={edit(template, ["id"], id)} picker={<Picker id={id} />} />;
  return (
    <div className="flex h-full flex-col">
      <header className="flex items-center gap-2 border-b border-line px-3 py-2"><h1 className="sr-only">Builder</h1><Picker id={id} /></header>
      <Empty icon={FileWarning} title={`“${id}” can't be used now`}>
        <p className="font-mono text-xs break-words">{why}</p>
        <p className="mt-2">The host may lack a policy or a plugin that it names: once that is back, it works again. Until then it can be written anew, or deleted.</p>
        {remove.error ? <ProblemNotice error={remove.error} className="mt-3 text-left" /> : null}
        <span className="mt-3 flex justify-center gap-2">
          <Button onClick={() => setAnew(true)}><Pencil size={14} aria-hidden />Write it anew</Button>
          <Button look="danger" busy={remove.isPending} onClick={() => remove.mutate()}><Trash2 size={14} aria-hidden />Delete it</Button>
        </span>
      </Empty>
    </div>
  );
}

function Picker({ id }: { id: string }) {
  const configs = useConfigs().data ?? [];
  const navigate = useNavigate();
  const broken = useBroken().data ?? [];
  const own = configs.filter((c) => c.custom);
  const options = (list: typeof configs) => list.map((c) => <option key={c.id} value={c.id}>{c.name}</option>);
  return (
    <Select aria-label="Configuration" className="h-7! w-auto! max-w-52 text-xs max-sm:max-w-36" value={id} onChange={(e) => void navigate({ to: "/builder", search: e.target.value ? { config: e.target.value } : {} })}>
      <option value="">New configuration</option>
      {own.length > 0 ? <optgroup label="Your own">{options(own)}</optgroup> : null}
      {broken.length > 0 ? <optgroup label="Can't be used now">{broken.map((b) => <option key={b.id} value={b.id}>{b.id}</option>)}</optgroup> : null}
      <optgroup label="Presets">{options(configs.filter((c) => !c.custom))}</optgroup>
      {id && !configs.some((c) => c.id === id) && !broken.some((b) => b.id === id) ? <option value={id}>{id}</option> : null}
    </Select>
  );
}
