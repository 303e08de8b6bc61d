import { createContext, memo, type ReactNode, use } from "react";
import Base, { type Components } from "react-markdown";
import remarkGfm from "remark-gfm";
import { Code } from "./Code";
import { CopyButton } from "./CopyButton";
import { splitMarkdown } from "./split";

/** A part that is longer than this many characters while it is still being written is shown as plain text until it is whole. */
const longPart = 20_000;

/** What the agent wrote. Raw HTML is shown as text; pictures of other hosts are links. While live, only the part that is being written is rendered again. */
export const Markdown = memo(function Markdown({ text, live = false }: { text: string; live?: boolean }) {
  const parts = splitMarkdown(text);
  return (
    <div className="markdown min-w-0 break-words">
      {parts.map((part, i) => live && i === parts.length - 1 && part.length > longPart
        ? <div key={i} className="font-mono text-xs whitespace-pre-wrap">{part}</div>
        : <Part key={i} text={part} open={live && i === parts.length - 1} />)}
    </div>
  );
});

const plugins = [remarkGfm];

/** Whether the part around is still being written: its code gets its colours when it is whole. */
const Open = createContext(false);

const Part = memo(function Part({ text, open }: { text: string; open: boolean }) {
  return <Open value={open}><Base remarkPlugins={plugins} components={components}>{text}</Base></Open>;
});

const components: Components = {
  a: ({ href, children }) => <Anchor href={href}>{children}</Anchor>,
  img: ({ src, alt }) => <Anchor href={typeof src === "string" ? src : undefined}>{alt || "picture"}</Anchor>,
  pre: ({ children }) => <>{children}</>,
  code: ({ className, children }) => {
    const text = textOf(children);
    const language = /language-(\S+)/.exec(className ?? "")?.[1];
    return language !== undefined || text.includes("\n") ? <CodeBlock code={text.replace(/\n$/, "")} language={language ?? ""} /> : <code>{children}</code>;
  },
  table: ({ children }) => <div className="overflow-x-auto"><table>{children}</table></div>,
  input: ({ checked }) => <input type="checkbox" checked={checked === true} readOnly disabled aria-label={checked === true ? "done" : "not done"} />,
};

function textOf(children: ReactNode): string { return typeof children === "string" ? children : Array.isArray(children) ? children.map(textOf as (c: unknown) => string).join("") : ""; }

/** A link that leaves the dashboard, if it is of a kind that a browser should follow. */
export function Anchor({ href, children }: { href: string | undefined; children: ReactNode }) {
  if (!href || !/^(https?:|mailto:)/i.test(href)) return <span>{children}</span>;
  return <a href={href} target="_blank" rel="noreferrer noopener" className="text-accent-ink underline underline-offset-2">{children}</a>;
}

/** A block of code with its language and a button that copies it. The button is within what scrolls, so a keyboard gets there. */
export function CodeBlock({ code, language = "", label = language }: { code: string; language?: string; label?: string }) {
  const open = use(Open);
  return (
    <div className="my-2 overflow-x-auto rounded-md border border-line bg-sunken">
      <div className="sticky left-0 flex h-8 items-center justify-between border-b border-line pr-1 pl-3 text-xs text-ink-3">
        <span>{label || "text"}</span>
        <CopyButton text={code} label="Copy code" />
      </div>
      <pre className="w-max min-w-full p-3 font-mono text-xs leading-relaxed"><Code text={code} language={language} wait={open} /></pre>
    </div>
  );
}
