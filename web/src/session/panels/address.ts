import type { Node } from "./types";

/*
 * A file's key names it in the dashboard: in the query cache, in ?file= and among drafts. It is the path, or for a name that is no UTF-8 a
 * NUL (which no path has) and the path's bytes in base64.
 */

export function keyOf(node: Pick<Node, "path" | "path_bytes">): string { return node.path_bytes ? `\0${node.path_bytes}` : node.path; }

function bytesOf(key: string): Uint8Array<ArrayBuffer> { return Uint8Array.from(atob(key.slice(1)), (c) => c.charCodeAt(0)); }

/** The path to show to a person. */
export function pathOf(key: string): string { return key.startsWith("\0") ? new TextDecoder().decode(bytesOf(key)) : key; }

/** The path as one segment of a URL. Slashes are encoded, too: a file called "download" is then no route of its folder. */
export function segmentOf(key: string): string {
  return key.startsWith("\0") ? [...bytesOf(key)].map((b) => `%${b.toString(16).padStart(2, "0")}`).join("") : encodeURIComponent(key);
}

export function fileUrl(sessionId: string, key: string): string { return `/api/files/${encodeURIComponent(sessionId)}/${segmentOf(key)}`; }

export function baseName(path: string): string { return path.slice(path.lastIndexOf("/") + 1); }

export function folderOf(path: string): string { return path.slice(0, Math.max(0, path.lastIndexOf("/"))); }

export function join(folder: string, name: string): string { return folder ? `${folder}/${name}` : name; }
