import { request } from "@/api/client";
import { fileUrl } from "../address";
import type { Preview } from "../types";

/** Texts up to this many bytes are fetched whole, to read and to edit; of longer ones the host's preview shows the beginning. */
export const maxText = 5 * 1024 * 1024;

/** A file as the viewer has it. cut: its text is longer than what is here. */
export type Loaded = { kind: "image"; blob: Blob; etag: string } | { kind: "file"; preview: Preview; etag: string; cut: boolean };

/** Opens a file: its description with its text, or the picture that it is. before is what it was when it was opened last: a text that is the same is not fetched again. */
export async function load(sessionId: string, key: string, signal: AbortSignal | undefined, before?: Loaded): Promise<Loaded> {
  const init = signal ? { signal } : {};
  const response = await request(fileUrl(sessionId, key), init);
  const etag = tagOf(response.headers.get("ETag"));
  if ((response.headers.get("Content-Type") ?? "").startsWith("image/")) return { kind: "image", blob: await response.blob(), etag };
  const preview = await response.json() as Preview;
  const head: Loaded = { kind: "file", preview, etag: tagOf(preview.etag) || etag, cut: preview.truncated === true };
  if (preview.type !== "text" || !head.cut || preview.size_bytes > maxText) return head;
  if (before?.kind === "file" && !before.cut && before.etag === head.etag) return before;
  const raw = await request(`${fileUrl(sessionId, key)}?raw=true`, init);
  const text = decode(await raw.arrayBuffer(), preview.encoding);
  return text === undefined ? head : { kind: "file", preview: { ...preview, content: text, truncated: false, lines: linesOf(text) }, etag: tagOf(raw.headers.get("ETag")) || head.etag, cut: false };
}

function tagOf(header: string | null | undefined): string { return (header ?? "").replace(/^W\//, "").replaceAll('"', ""); }

/** The text of bytes; undefined when they are none: only their beginning had looked so. A byte order mark is no part of it. */
export function decode(bytes: ArrayBuffer, encoding = "utf-8"): string | undefined {
  try {
    const text = new TextDecoder(encoding.startsWith("utf-16") ? encoding : "utf-8", { fatal: true }).decode(bytes);
    return text.includes("\0") ? undefined : text;
  } catch {
    return undefined;
  }
}

/** How many lines a text has; a newline at the end begins none. */
export function linesOf(text: string): number {
  if (text === "") return 0;
  let lines = text.endsWith("\n") ? 0 : 1;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) lines++;
  return lines;
}
