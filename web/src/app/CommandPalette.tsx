import { useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { Command } from "cmdk";
import { Blocks, BookOpen, Keyboard, KeyRound, List, MessageSquare, Monitor, Moon, Pencil, RefreshCw, Rocket, ServerCog, Sun, type LucideIcon } from "lucide-react";
import { Dialog as Base } from "radix-ui";
import type { ReactNode } from "react";
import { useSessions, useConfigs } from "./catalog";
import { useKey } from "./key";
import { setTheme } from "./theme";

export interface PaletteProps { onClose: () => void; onKey: () => void; onShortcuts: () => void }

const itemLook = "flex h-9 cursor-pointer items-center gap-2.5 rounded-md px-2.5 text-sm text-ink data-[selected=true]:bg-accent-soft data-[selected=true]:text-accent-ink";

/** Everything that can be gone to or done, by typing a part of its name. It is loaded when it is opened first. */
export function CommandPalette({ onClose, onKey, onShortcuts }: PaletteProps) {
  const navigate = useNavigate();
  const queries = useQueryClient();
  const configs = useConfigs();
  const sessions = useSessions(useKey(), false);
  const run = (action: () => unknown) => () => {
    onClose();
    void action();
  };
  return (
    <Base.Root open onOpenChange={(open) => { if (!open) onClose(); }}>
      <Base.Portal>
        <Base.Overlay className="fixed inset-0 z-50 bg-black/45" />
        <Base.Content aria-describedby={undefined} className="fixed top-[12dvh] left-1/2 z-50 w-[min(38rem,94vw)] -translate-x-1/2 overflow-hidden rounded-xl border border-line bg-raised shadow-2xl outline-none">
          <Base.Title className="sr-only">Commands</Base.Title>
          <Command label="Commands" loop>
            <Command.Input placeholder="Go to a page, a session, a preset…" className="h-12 w-full border-b border-line bg-transparent px-4 text-base text-ink outline-none placeholder:text-ink-3" />
            <Command.List className="max-h-[min(26rem,60dvh)] overflow-y-auto p-1.5">
              <Command.Empty className="p-6 text-center text-sm text-ink-2">Nothing has this name.</Command.Empty>
              <Group heading="Go to">
                <Item icon={Rocket} text="Launch" hint="G L" onSelect={run(() => navigate({ to: "/launch" }))} />
                <Item icon={List} text="Sessions" hint="G S" onSelect={run(() => navigate({ to: "/sessions" }))} />
                <Item icon={Blocks} text="Builder" hint="G B" onSelect={run(() => navigate({ to: "/builder" }))} />
                <Item icon={ServerCog} text="Platform" hint="G P" onSelect={run(() => navigate({ to: "/platform" }))} />
                <Item icon={BookOpen} text="API reference" onSelect={run(() => window.open("/docs", "_blank", "noreferrer"))} />
              </Group>
              {sessions.data && sessions.data.length > 0 ? (
                <Group heading="Sessions">
                  {sessions.data.slice(0, 50).map((s) => (
                    <Item key={s.session_id} value={`${s.title ?? ""} ${s.name} ${s.session_id}`} icon={MessageSquare} text={s.title?.trim() || s.name} hint={s.status === "running" ? s.activity : s.status}
                      onSelect={run(() => navigate({ to: "/sessions/$sessionId", params: { sessionId: s.session_id } }))} />
                  ))}
                </Group>
              ) : null}
              {configs.data && configs.data.length > 0 ? (
                <Group heading="Configurations">
                  {configs.data.flatMap((c) => [
                    <Item key={`launch ${c.id}`} icon={Rocket} text={`Launch ${c.name}`} onSelect={run(() => navigate({ to: "/launch", search: { config: c.id } }))} />,
                    <Item key={`build ${c.id}`} icon={Pencil} text={`Open ${c.name} in the builder`} onSelect={run(() => navigate({ to: "/builder", search: { config: c.id } }))} />,
                  ])}
                </Group>
              ) : null}
              <Group heading="Do">
                <Item icon={KeyRound} text="Set, change or forget your key" onSelect={run(onKey)} />
                <Item icon={Sun} text="Light theme" onSelect={run(() => setTheme("light"))} />
                <Item icon={Moon} text="Dark theme" onSelect={run(() => setTheme("dark"))} />
                <Item icon={Monitor} text="Theme of the system" onSelect={run(() => setTheme("system"))} />
                <Item icon={Keyboard} text="Keyboard shortcuts" hint="?" onSelect={run(onShortcuts)} />
                <Item icon={RefreshCw} text="Ask the host for everything again" onSelect={run(() => queries.invalidateQueries())} />
              </Group>
            </Command.List>
          </Command>
        </Base.Content>
      </Base.Portal>
    </Base.Root>
  );
}

function Group({ heading, children }: { heading: string; children: ReactNode }) {
  return <Command.Group heading={heading} className="[&_[cmdk-group-heading]]:px-2.5 [&_[cmdk-group-heading]]:pt-2 [&_[cmdk-group-heading]]:pb-1 [&_[cmdk-group-heading]]:text-xs [&_[cmdk-group-heading]]:text-ink-3">{children}</Command.Group>;
}

function Item({ icon: Icon, text, hint, value, onSelect }: { icon: LucideIcon; text: string; hint?: string; value?: string; onSelect: () => void }) {
  return (
    <Command.Item value={value ?? text} onSelect={onSelect} className={itemLook}>
      <Icon size={15} className="shrink-0" aria-hidden /><span className="min-w-0 flex-1 truncate">{text}</span>
      {hint ? <kbd className="shrink-0 font-sans text-xs text-ink-2">{hint}</kbd> : null}
    </Command.Item>
  );
}
