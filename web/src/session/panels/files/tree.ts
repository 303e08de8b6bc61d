import { keyOf } from "../address";
import type { Change, ChangeStatus, Node } from "../types";

/** A line of the tree as it is shown. */
export interface Row {
  key: string;
  node: Node;
  /** From 1. */
  level: number;
  /** The place among its siblings, from 1, and how many there are. */
  place: number;
  siblings: number;
  /** undefined for what can't be opened. */
  open: boolean | undefined;
}

export function isFolder(node: Node): boolean { return node.type === "directory"; }

/** What a search finds: the keys of matches and of all folders above them. A query with a slash looks at the path, else at the name. */
export function search(root: Node, query: string): { shown: Set<string>; hits: number } {
  const needle = query.toLowerCase();
  const whole = needle.includes("/");
  const shown = new Set<string>();
  let hits = 0;
  const visit = (node: Node): boolean => {
    let inside = false;
    for (const child of node.children ?? []) inside = visit(child) || inside;
    const hit = (whole ? node.path : node.name).toLowerCase().includes(needle);
    if (hit) hits++;
    if (hit || inside) shown.add(keyOf(node));
    return hit || inside;
  };
  for (const child of root.children ?? []) visit(child);
  return { shown, hits };
}

/** The lines to show, top to bottom. With shown (of a search) only those, and every folder is open. */
export function rowsOf(root: Node, open: ReadonlySet<string>, shown?: ReadonlySet<string>): Row[] {
  const rows: Row[] = [];
  const visit = (node: Node, level: number) => {
    const children = shown ? (node.children ?? []).filter((c) => shown.has(keyOf(c))) : node.children ?? [];
    children.forEach((child, i) => {
      const key = keyOf(child);
      const isOpen = isFolder(child) ? (shown ? true : open.has(key)) : undefined;
      rows.push({ key, node: child, level, place: i + 1, siblings: children.length, open: isOpen });
      if (isOpen) visit(child, level + 1);
    });
  };
  visit(root, 1);
  return rows;
}

/** All paths in the tree, to see what an upload would replace. */
export function pathsOf(root: Node | null | undefined): Map<string, Node> {
  const all = new Map<string, Node>();
  const visit = (node: Node) => {
    for (const child of node.children ?? []) { all.set(child.path, child); visit(child); }
  };
  if (root) visit(root);
  return all;
}

export type Marks = ReadonlyMap<string, ChangeStatus | "inside">;

/** What has changed, by path; a folder with a change in it is marked "inside". */
export function marksOf(changes: readonly Change[]): Marks {
  const marks = new Map<string, ChangeStatus | "inside">();
  for (const change of changes) {
    for (let i = change.path.indexOf("/"); i > 0; i = change.path.indexOf("/", i + 1)) {
      const folder = change.path.slice(0, i);
      if (!marks.has(folder)) marks.set(folder, "inside");
    }
    marks.set(change.path, change.status);
  }
  return marks;
}

/** The row that a key press leads to, by its index; undefined when the key moves nothing. page is how many rows are in sight. */
export function moved(key: string, rows: readonly Row[], at: number, page: number): number | undefined {
  const last = rows.length - 1;
  if (last < 0) return undefined;
  switch (key) {
    case "ArrowDown": return Math.min(last, at + 1);
    case "ArrowUp": return Math.max(0, at - 1);
    case "Home": return 0;
    case "End": return last;
    case "PageDown": return Math.min(last, at + page);
    case "PageUp": return Math.max(0, at - page);
    default: return undefined;
  }
}

/** The index of the folder that row i lies in; i itself at the top. */
export function parentOf(rows: readonly Row[], i: number): number {
  const level = rows[i]?.level ?? 1;
  for (let up = i - 1; up >= 0; up--) if ((rows[up]?.level ?? 0) < level) return up;
  return i;
}

/** The next row whose name begins with what was typed, from row `from` on and around. */
export function typed(rows: readonly Row[], from: number, text: string): number | undefined {
  const wanted = text.toLowerCase();
  for (let n = 0; n < rows.length; n++) {
    const i = (from + n) % rows.length;
    if (rows[i]?.node.name.toLowerCase().startsWith(wanted)) return i;
  }
  return undefined;
}
