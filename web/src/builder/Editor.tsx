import { useBlocker, useNavigate } from "@tanstack/react-router";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { CircleCheck, CircleX, Copy, Download, Ellipsis, FlaskConical, Rocket, Save, Trash2, Upload } from "lucide-react";
import { useEffect, useRef, useState, type ReactNode } from "react";
import { asProblem } from "@/api/problem";
import { usePolicies } from "@/app/catalog";
import { useHealth } from "@/app/health";
import { Button, IconButton } from "@/ui/button";
import { Dialog } from "@/ui/dialog";
import { loadable } from "@/ui/loadable";
import { useMedia } from "@/ui/media";
import { Menu } from "@/ui/menu";
import { Notice, ProblemNotice } from "@/ui/notice";
import { Skeleton } from "@/ui/skeleton";
import { Tabs } from "@/ui/tabs";
import { toast } from "@/ui/toast";
import { CopyDialog } from "./CopyDialog";
import { edit, read, type Finding } from "./document";
import { errorAt, useCheck, useDraft, type Check } from "./draft";
import type { Form } from "./form";
import { ConfigForm } from "./Form";
import { written } from "./path";
import { create, drop, give, imported, replace } from "./saved";
import { TestChat } from "./TestChat";

const YamlEditor = loadable(async () => ({ default: (await import("./YamlEditor")).YamlEditor }), () => <div className="p-3"><Skeleton className="h-64 w-full" /></div>);

/** Where a configuration came from: nowhere yet, the operator's presets, or the users' own. */
export type Origin = { kind: "new" } | { kind: "preset" | "own"; id: string };

type Asking = "copy" | "delete" | "test" | null;

/** One configuration as a form and as YAML, both to be changed. */
export function Editor({ origin, text: given, picker }: { origin: Origin; text: string; picker: ReactNode }) {
  const navigate = useNavigate();
  const queries = useQueryClient();
  const { data: health } = useHealth();
  const policies = usePolicies();
  const [draft, act] = useDraft(given);
  const check = useCheck(draft);
  const [asking, setAsking] = useState<Asking>(null);
  const [tab, setTab] = useState("form");
  const [reveal, setReveal] = useState<{ line: number }>();
  const file = useRef<HTMLInputElement>(null);
  const wide = useMedia("(min-width: 1024px)");
  const dirty = draft.text !== draft.saved;
  const value = draft.read.value;
  const { view } = draft;
  // What is kept as it is written: the host knows it by its id, with the values that it hides from us.
  const kept = dirty || origin.kind === "new" ? undefined : origin.id;
  const blocker = useBlocker({ shouldBlockFn: () => dirty, enableBeforeUnload: () => dirty, withResolver: true });

  const form: Form = {
    view, edit: (path, next) => act({ do: "edit", path, value: next }), rename: (path, to) => act({ do: "rename", path, to }),
    error: (path, deep = false) => errorAt(check.findings, written(path), deep),
  };
  const saved = (id: string, text: string) => {
    act({ do: "saved", text });
    void queries.invalidateQueries({ queryKey: ["configs"] });
    void queries.invalidateQueries({ queryKey: ["config", id] });
    toast(`${id} is saved.`);
    if (origin.kind !== "own" || origin.id !== id) void navigate({ to: "/builder", search: { config: id }, ignoreBlocker: true });
  };
  const save = useMutation({
    mutationFn: async () => {
      const { text } = draft;
      if (!value) throw new Error("The YAML can't be read yet.");
      if (origin.kind === "own" && origin.id === view.id) await replace(view.id, value);
      else await create(value);
      return { id: view.id, text };
    },
    onSuccess: ({ id, text }) => saved(id, text),
  });
  const copy = useMutation({
    mutationFn: async ({ id, name }: { id: string; name: string }) => {
      const text = edit(edit(draft.text, ["id"], id), ["name"], name);
      const copied = read(text).value;
      if (!copied) throw new Error("The YAML can't be read yet.");
      await create(copied);
      return { id, text };
    },
    onSuccess: ({ id, text }) => {
      setAsking(null);
      act({ do: "text", text });
      saved(id, text);
    },
  });
  const remove = useMutation({
    mutationFn: () => drop(origin.kind === "own" ? origin.id : ""),
    onSuccess: () => {
      void queries.invalidateQueries({ queryKey: ["configs"] });
      toast("It is deleted.");
      void navigate({ to: "/builder", search: {}, ignoreBlocker: true });
    },
  });
  const preset = origin.kind === "preset" && origin.id === view.id;
  const saveNow = () => {
    if (!value || save.isPending) return;
    if (preset) setAsking("copy");
    else save.mutate();
  };
  const onKey = useRef(saveNow);
  useEffect(() => { onKey.current = saveNow; });
  useEffect(() => {
    const listen = (e: KeyboardEvent) => {
      if ((e.ctrlKey || e.metaKey) && e.key.toLowerCase() === "s") { e.preventDefault(); onKey.current(); }
    };
    window.addEventListener("keydown", listen);
    return () => window.removeEventListener("keydown", listen);
  }, []);

  const formPane = <ConfigForm form={form} value={value} id={kept} health={health} policies={policies.data} />;
  const yamlPane = (
    <div className="flex h-full min-h-0 flex-col">
      <div className="min-h-0 flex-1"><YamlEditor value={draft.text} findings={check.findings} reveal={reveal} onChange={(text) => act({ do: "text", text })} /></div>
      <Findings check={check} onGo={(f) => { setTab("yaml"); setReveal({ line: f.line }); }} />
    </div>
  );
  return (
    <div className="flex h-full min-h-0 flex-col">
      <header className="flex shrink-0 flex-wrap items-center gap-2 border-b border-line px-3 py-2">
        <h1 className="sr-only">Builder</h1>
        {picker}
        <span className="min-w-0 flex-1 truncate text-xs text-ink-3 max-sm:order-last max-sm:basis-full" role="status">{dirty ? "unsaved changes" : origin.kind === "preset" ? "a preset: saving makes your own copy" : origin.kind === "new" ? "new" : "saved"}</span>
        <Button small onClick={() => setAsking("test")}><FlaskConical size={14} aria-hidden />Test</Button>
        {origin.kind !== "new" && !dirty ? <Button small className="max-sm:hidden" onClick={() => void navigate({ to: "/launch", search: { config: origin.id } })}><Rocket size={14} aria-hidden />Launch</Button> : null}
        <Button small look="primary" busy={save.isPending} disabled={!value || (!dirty && origin.kind === "own")} onClick={saveNow}><Save size={14} aria-hidden />{preset ? "Save as…" : "Save"}</Button>
        <Menu
          label="More" trigger={<IconButton small label="More"><Ellipsis size={16} /></IconButton>}
          items={[
            { label: "Duplicate", icon: Copy, disabled: !value, onSelect: () => setAsking("copy") },
            { label: "Import YAML or JSON", icon: Upload, onSelect: () => file.current?.click() },
            { label: "Export YAML", icon: Download, onSelect: () => give(`${view.id || "agent"}.yaml`, draft.text) },
            null,
            { label: "Delete", icon: Trash2, danger: true, disabled: origin.kind !== "own", onSelect: () => setAsking("delete") },
          ]}
        />
        <input
          ref={file} type="file" accept=".yaml,.yml,.json" hidden aria-label="File to import" onChange={(e) => {
            const chosen = e.target.files?.[0];
            e.target.value = "";
            if (!chosen) return;
            if (chosen.size > 1 << 20) { toast("A configuration has at most 1 MiB.", "bad"); return; }
            void chosen.text().then((text) => act({ do: "text", text: imported(text) }));
          }}
        />
      </header>
      {save.error ? <SaveFailed error={save.error} onClose={() => save.reset()} /> : null}
      <div className="min-h-0 flex-1">
        {wide ? (
          <div className="grid h-full grid-cols-2">
            <div className="min-h-0 min-w-0 border-r border-line">{formPane}</div>
            <div className="min-h-0 min-w-0">{yamlPane}</div>
          </div>
        ) : (
          <Tabs label="Form or YAML" value={tab} onChange={setTab} tabs={[{ id: "form", title: "Form", content: formPane }, { id: "yaml", title: "YAML", content: yamlPane }]} />
        )}
      </div>
      <CopyDialog
        open={asking === "copy"} onClose={() => { setAsking(null); copy.reset(); }} busy={copy.isPending} error={copy.error} onCopy={(id, name) => copy.mutate({ id, name })}
        title={preset ? "Save as your own" : "Duplicate"} hint={preset ? "Presets are the operator's and stay as they are." : "A copy with the changes that are not saved yet."} id={`${view.id || "agent"}-copy`} name={`${view.name || "Agent"} (copy)`}
      />
      <Dialog open={asking === "delete"} onClose={() => setAsking(null)} title={`Delete ${view.id}?`} hint="It is gone for good. Sessions that were launched with it go on.">
        {remove.error ? <ProblemNotice error={remove.error} className="mb-3" /> : null}
        <div className="flex justify-end gap-2"><Button onClick={() => setAsking(null)}>Keep</Button><Button look="danger" busy={remove.isPending} onClick={() => remove.mutate()}>Delete</Button></div>
      </Dialog>
      <Dialog open={asking === "test"} onClose={() => setAsking(null)} title="Test chat" hint="An agent with this configuration, for as long as this is open." drawer>
        {asking === "test" ? <div className="-m-4 h-[60dvh] sm:h-[calc(100%+2rem)]"><TestChat value={value} text={draft.text} id={kept} /></div> : null}
      </Dialog>
      <Dialog open={blocker.status === "blocked"} onClose={() => blocker.reset?.()} title="Leave without saving?" hint="What you changed here is lost.">
        <div className="flex justify-end gap-2"><Button onClick={() => blocker.reset?.()}>Stay</Button><Button look="danger" onClick={() => blocker.proceed?.()}>Leave</Button></div>
      </Dialog>
    </div>
  );
}

function SaveFailed({ error, onClose }: { error: unknown; onClose: () => void }) {
  const { status } = asProblem(error);
  const dismiss = <Button small onClick={onClose}>Dismiss</Button>;
  return status === 404 || status === 405
    ? <Notice tone="warn" className="rounded-none" action={dismiss}>This host can&apos;t keep configurations: it is older than this dashboard. Export the YAML instead.</Notice>
    : <ProblemNotice error={error} className="rounded-none" action={dismiss} />;
}

/** What is wrong, below the YAML, to click on. It keeps its height, so that nothing jumps while somebody types. */
function Findings({ check, onGo }: { check: Check; onGo: (f: Finding) => void }) {
  return (
    <div className="h-28 shrink-0 overflow-y-auto border-t border-line bg-canvas px-3 py-2 text-xs" role="status" aria-label="Problems">
      {check.findings.length > 0 ? (
        <ul className="flex flex-col gap-1">
          {check.findings.map((f, i) => (
            <li key={i}>
              <button type="button" onClick={() => onGo(f)} className="flex w-full items-start gap-2 rounded text-left hover:bg-sunken">
                <CircleX size={13} className="mt-0.5 shrink-0 text-bad" aria-hidden /><span className="shrink-0 text-ink-3 tabular-nums">line {f.line}</span>
                {f.path ? <code className="shrink-0 font-mono">{f.path}</code> : null}<span className="min-w-0 break-words text-bad">{f.message}</span>
              </button>
            </li>
          ))}
        </ul>
      ) : check.missing ? <span className="text-ink-3">The syntax is right. This host does not check more before a launch: it is older than this dashboard.</span>
        : check.error ? <span className="text-warn">{asProblem(check.error).detail || "The host can't be reached"}: it has not checked this text.</span>
          : check.checked ? <span className="flex items-center gap-1.5 text-good"><CircleCheck size={13} aria-hidden />The host finds nothing wrong.</span>
            : <span className="text-ink-3">Checking…</span>}
    </div>
  );
}
