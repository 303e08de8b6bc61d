import { createContext, memo, type ReactNode, use } from "react";
import Base, { type Components } from "react-markdown";
import gfm from "remark-gfm";
import { Code } from "../../text/Code";
import { folderOf } from "../address";

/** Where a relative link of the file at base leads in the workspace; undefined when it leaves it or goes elsewhere. */
export function resolveLink(base: string, href: string): string | undefined {
  if (/^[a-z][a-z0-9+.-]*:/i.test(href) || href.startsWith("//") || href.startsWith("#")) return undefined;
  let path: string;
  try { path = decodeURIComponent(href.replace(/[?#].*$/, "")); } catch { return undefined; }
  const parts: string[] = path.startsWith("/") ? [] : folderOf(base).split("/").filter(Boolean);
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.pop() === undefined) return undefined;
  }
  return parts.length > 0 ? parts.join("/") : undefined;
}

const outside = /^(https?:|mailto:)/i;

/** Where the text stands, and how to open another file. */
const Place = createContext<{ path: string; onFile: (path: string) => void }>({ path: "", onFile: () => undefined });

function Link({ href, children }: { href: string | undefined; children: ReactNode }) {
  const { path, onFile } = use(Place);
  const file = resolveLink(path, href ?? "");
  if (href && outside.test(href)) return <a href={href} rel="noreferrer" target="_blank" className="text-accent-ink underline">{children}</a>;
  if (file !== undefined) return <button type="button" onClick={() => onFile(file)} className="text-accent-ink underline">{children}</button>;
  return <span>{children}</span>;
}

// One object for good: another at every render would make every element anew.
const components: Components = {
  a: ({ href, children }) => <Link href={href}>{children}</Link>,
  img: ({ src, alt }) => <Link href={typeof src === "string" ? src : undefined}>[{alt === undefined || alt === "" ? "image" : alt}]</Link>,
  h1: ({ children }) => <h2 className="border-b border-line pb-1 text-xl font-semibold">{children}</h2>,
  h2: ({ children }) => <h3 className="border-b border-line pb-1 text-lg font-semibold">{children}</h3>,
  h3: ({ children }) => <h4 className="text-base font-semibold">{children}</h4>,
  h4: ({ children }) => <h5 className="font-semibold">{children}</h5>,
  pre: ({ children }) => <pre className="rounded-md border border-line bg-sunken p-3 font-mono text-xs whitespace-pre-wrap [&_code]:bg-transparent [&_code]:p-0">{children}</pre>,
  code: ({ className, children }) => {
    const language = /language-(\S+)/.exec(className ?? "")?.[1];
    if (language && typeof children === "string") return <Code text={children.replace(/\n$/, "")} language={language} />;
    return <code className="rounded bg-sunken px-1 py-0.5 font-mono text-xs">{children}</code>;
  },
  blockquote: ({ children }) => <blockquote className="border-l-2 border-line-strong pl-3 text-ink-2">{children}</blockquote>,
  table: ({ children }) => <div className="overflow-x-auto"><table className="border-collapse text-xs">{children}</table></div>,
  th: ({ children }) => <th className="border border-line bg-sunken px-2 py-1 text-left">{children}</th>,
  td: ({ children }) => <td className="border border-line px-2 py-1">{children}</td>,
  hr: () => <hr className="border-line" />,
  input: ({ checked }) => <input type="checkbox" checked={checked === true} readOnly aria-label={checked === true ? "done" : "to do"} className="mr-1.5" />,
};

const plugins = [gfm];

/**
 * Markdown of the workspace. HTML in it stays text, and nothing is fetched for it: pictures are links. A link to another file opens that in
 * the viewer.
 */
export default function Markdown({ text, path, onFile }: { text: string; path: string; onFile: (path: string) => void }) {
  return (
    <div className="markdown flex flex-col gap-3 text-sm leading-relaxed [overflow-wrap:anywhere] [&_ol]:list-decimal [&_ol]:pl-6 [&_ul]:list-disc [&_ul]:pl-6 [&_li>p]:inline">
      <Place value={{ path, onFile }}><Rendered text={text} /></Place>
    </div>
  );
}

const Rendered = memo(function Rendered({ text }: { text: string }) { return <Base remarkPlugins={plugins} components={components}>{text}</Base>; });
