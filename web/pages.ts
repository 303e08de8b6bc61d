import type { Plugin, Rolldown } from "vite";

/**
 * The pages that get a document of their own: its name in dist, and the module whose code the page is. The host answers /NAME with NAME.html
 * and /NAME/anything with NAME/one.html (core/api/dashboard.go).
 */
const pages: Record<string, string> = {
  "launch.html": "/src/launch/LaunchPage.tsx",
  "sessions.html": "/src/sessions/SessionsPage.tsx",
  "sessions/one.html": "/src/session/SessionPage.tsx",
  "builder.html": "/src/builder/BuilderPage.tsx",
  "platform.html": "/src/platform/PlatformPage.tsx",
};

/**
 * Writes, beside index.html, a document for each page which also names the scripts and styles of that page. They are fetched and compiled
 * together with those of all pages, not after these have run.
 */
export function pageDocuments(): Plugin {
  return {
    name: "page-documents", apply: "build",
    generateBundle: {
      order: "post",
      handler(_options, bundle) {
        const index = bundle["index.html"];
        if (index?.type !== "asset") throw new Error("the build has no index.html");
        const html = String(index.source);
        for (const [fileName, module] of Object.entries(pages)) {
          const links = linksOf(bundle, module).filter((link) => !html.includes(`href="${link.href}"`) && !html.includes(`src="${link.href}"`));
          this.emitFile({ type: "asset", fileName, source: html.replace("</head>", `${links.map((l) => `  ${l.tag}\n  `).join("")}</head>`) });
        }
      },
    },
  };
}

interface Link { href: string; tag: string }

/** What a page's code needs before it can run: its chunk, those that it imports, and their styles. */
function linksOf(bundle: Rolldown.OutputBundle, module: string): Link[] {
  const first = Object.values(bundle).find((c) => c.type === "chunk" && c.facadeModuleId?.endsWith(module));
  if (first?.type !== "chunk") throw new Error(`no chunk of its own: ${module}`);
  const links: Link[] = [];
  const seen = new Set<string>();
  const add = (chunk: Rolldown.OutputChunk) => {
    if (seen.has(chunk.fileName)) return;
    seen.add(chunk.fileName);
    const href = `/${chunk.fileName}`;
    links.push({ href, tag: `<link rel="modulepreload" crossorigin href="${href}">` });
    for (const name of chunk.imports) {
      const next = bundle[name];
      if (next?.type === "chunk") add(next);
    }
    for (const css of chunk.viteMetadata?.importedCss ?? []) links.push({ href: `/${css}`, tag: `<link rel="stylesheet" crossorigin href="/${css}">` });
  };
  add(first);
  return links;
}
