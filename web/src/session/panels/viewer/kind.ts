import type { Preview } from "../types";

/** How the viewer can show a file. */
export type View = "text" | "table" | "notebook" | "markdown" | "svg" | "pdf" | "image" | "hex";

/** Longer markdown and notebooks, in characters, are shown as text: making a page of them would hold up everything else. */
const maxRendered = 256 * 1024;
const maxNotebook = 4 * 1024 * 1024;

/** The ways to show a file, the best first. It goes by what the host found in it, then by its name. */
export function viewsOf(name: string, preview: Pick<Preview, "type" | "media_type" | "truncated" | "content"> | "image"): View[] {
  if (preview === "image") return ["image"];
  const ext = /\.([^./]+)$/.exec(name.toLowerCase())?.[1] ?? "";
  if (preview.type === "binary") return preview.media_type.startsWith("application/pdf") ? ["pdf", "hex"] : ["hex"];
  if (ext === "csv" || ext === "tsv" || ext === "tab") return ["table", "text"];
  const size = preview.content?.length ?? 0;
  if (ext === "ipynb" && !preview.truncated && size <= maxNotebook) return ["notebook", "text"];
  if ((ext === "md" || ext === "markdown") && size <= maxRendered) return ["markdown", "text"];
  if (ext === "svg" && !preview.truncated) return ["svg", "text"];
  return ["text"];
}

/** Lines of 16 bytes as a hex dump has them. */
export function hexLines(bytes: Uint8Array): { at: string; hex: string; text: string }[] {
  const lines = [];
  for (let i = 0; i < bytes.length; i += 16) {
    const row = [...bytes.subarray(i, i + 16)];
    lines.push({
      at: i.toString(16).padStart(8, "0"),
      hex: row.map((b, n) => (n === 8 ? " " : "") + b.toString(16).padStart(2, "0")).join(" ").padEnd(48),
      text: row.map((b) => (b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : "·")).join(""),
    });
  }
  return lines;
}
