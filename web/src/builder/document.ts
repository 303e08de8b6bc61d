import { Document, isMap, isNode, isPair, isScalar, isSeq, LineCounter, parseDocument, type Node, YAMLMap } from "yaml";
import type { Config } from "@/app/types";
import { readPath, type Path } from "./path";

/*
 * The YAML text is the configuration; the form reads it and changes it in place. An edit touches the node it is about and leaves comments,
 * order and style of everything else as they are.
 */

/** Something wrong with a configuration, and where: its place in the configuration and, from 1, in the text. */
export interface Finding { path: string; message: string; line: number; column: number }

export interface Read {
  /** The plain value; undefined when the text can't be read. */
  value: Record<string, unknown> | undefined;
  /** Why it can't be. */
  findings: Finding[];
}

// Aliases are bounded: a few lines could stand for gigabytes otherwise.
const maxAliases = 100;
const style = { lineWidth: 0, flowCollectionPadding: false } as const;

function parsed(text: string): { doc: Document.Parsed; lines: LineCounter } {
  const lines = new LineCounter();
  return { doc: parseDocument(text, { lineCounter: lines, prettyErrors: false, merge: true }), lines };
}

/** Reads a text. It never throws. */
export function read(text: string): Read {
  const { doc, lines } = parsed(text);
  const findings = doc.errors.map((e) => {
    const { line, col } = lines.linePos(e.pos[0]);
    return { path: "", message: e.message, line, column: col };
  });
  if (findings.length > 0) return { value: undefined, findings };
  if (doc.contents === null) return { value: {}, findings: [] };
  try {
    const value: unknown = doc.toJS({ maxAliasCount: maxAliases });
    if (isMap(doc.contents) && isRecord(value)) return { value, findings: [] };
  } catch (error) {
    return { value: undefined, findings: [{ path: "", message: error instanceof Error ? error.message : String(error), line: 1, column: 1 }] };
  }
  return { value: undefined, findings: [{ path: "", message: "A configuration is a mapping: lines like “name: My Agent”.", line: 1, column: 1 }] };
}

export function isRecord(value: unknown): value is Record<string, unknown> { return typeof value === "object" && value !== null && !Array.isArray(value); }

/** The text with one value changed; undefined removes it, and what is left empty around it. A text that can't be read stays as it is. */
export function edit(text: string, path: Path, value: unknown): string {
  const { doc } = parsed(text);
  if (doc.errors.length > 0) return text;
  if (!isMap(doc.contents)) {
    if (value === undefined) return text;
    const fresh = new Document({});
    fresh.setIn(path, fresh.createNode(value));
    return fresh.toString(style);
  }
  if (value === undefined) remove(doc, path);
  else put(doc, path, value);
  return doc.toString(style);
}

function put(doc: Document.Parsed, path: Path, value: unknown) {
  const old = doc.getIn(path, true);
  // What is there and is no map (name: x, where a map has to be) gives way.
  for (let i = 1; i < path.length; i++) {
    const above = doc.getIn(path.slice(0, i), true);
    if (above !== undefined && !isMap(above) && !isSeq(above)) doc.setIn(path.slice(0, i), new YAMLMap());
  }
  doc.setIn(path, isNode(old) ? merged(doc, old, value) : doc.createNode(value));
}

/** The old node with the new value: nodes that are the same keep their comments and their style. */
function merged(doc: Document, old: Node, value: unknown): Node {
  if (isScalar(old) && !isRecord(value) && !Array.isArray(value)) {
    // A text on several lines reads best as a block, whatever the old one was.
    if (typeof value === "string" && value.includes("\n") && old.type !== "BLOCK_LITERAL") return doc.createNode(value);
    if (typeof value === "string" && typeof old.value === "string" && !value.includes("\n") && (old.type === "BLOCK_LITERAL" || old.type === "BLOCK_FOLDED")) old.type = "PLAIN";
    old.value = value;
    return old;
  }
  if (isSeq(old) && Array.isArray(value)) {
    const free = [...old.items];
    const items: unknown[] = value;
    old.items = items.map((item) => {
      const same = free.findIndex((n) => isNode(n) && equal(n.toJS(doc), item));
      return same >= 0 ? free.splice(same, 1)[0] : doc.createNode(item);
    });
    return old;
  }
  if (isMap(old) && isRecord(value)) {
    old.items = old.items.filter((pair) => isScalar(pair.key) && Object.hasOwn(value, String(pair.key.value)));
    for (const [key, item] of Object.entries(value)) {
      const before = old.get(key, true);
      old.set(key, isNode(before) ? merged(doc, before, item) : doc.createNode(item));
    }
    return old;
  }
  return doc.createNode(value);
}

function equal(a: unknown, b: unknown): boolean { return JSON.stringify(a) === JSON.stringify(b); }

function remove(doc: Document.Parsed, path: Path) {
  doc.deleteIn(path);
  for (let i = path.length - 1; i > 0; i--) {
    const above = doc.getIn(path.slice(0, i), true);
    if ((isMap(above) || isSeq(above)) && above.items.length === 0) doc.deleteIn(path.slice(0, i));
    else return;
  }
}

/** The text with a key of a map renamed, where it stands. It stays as it is when there is no such key or the new one is taken. */
export function rename(text: string, path: Path, to: string): string {
  const { doc } = parsed(text);
  const map = path.length > 1 ? doc.getIn(path.slice(0, -1), true) : doc.contents;
  const from = path.at(-1);
  if (doc.errors.length > 0 || !isMap(map) || map.has(to)) return text;
  const pair = map.items.find((p) => isScalar(p.key) && String(p.key.value) === from);
  if (!isPair(pair) || !isScalar(pair.key)) return text;
  pair.key.value = to;
  return doc.toString(style);
}

/** Where a place of the configuration is in the text, from 1: itself, or the nearest around it that is there. */
export function locate(text: string, path: string): { line: number; column: number } {
  const { doc, lines } = parsed(text);
  const places = readPath(path);
  for (let i = places.length; i > 0; i--) {
    const at = places.slice(0, i);
    const map = i > 1 ? doc.getIn(at.slice(0, -1), true) : doc.contents;
    const pair = isMap(map) ? map.items.find((p) => isScalar(p.key) && String(p.key.value) === String(at.at(-1))) : undefined;
    const node = pair?.key ?? doc.getIn(at, true);
    if (isNode(node) && node.range) {
      const { line, col } = lines.linePos(node.range[0]);
      return { line, column: col };
    }
  }
  return { line: 1, column: 1 };
}

/** A configuration as YAML, without what is empty, for a host that gives JSON only. What no configuration has comes last, so that the host can say so. */
export function write(config: Config): string {
  const order: (keyof Config)[] = [
    "id", "name", "description", "version", "allowed_tools", "permission_mode", "model", "max_turns", "cwd", "setting_sources", "resource_limits", "env", "system_prompt", "agents",
    "mcp_servers", "network", "policies", "filters",
  ];
  const doc = new Document({});
  const rest = Object.keys(config).filter((key) => !order.some((known) => known === key));
  for (const key of [...order, ...rest]) {
    const value: unknown = config[key as keyof Config];
    if (value === undefined || value === null || value === "" || value === 0 || (isRecord(value) && Object.keys(value).length === 0)) continue;
    doc.set(key, doc.createNode(value));
  }
  return doc.toString({ ...style, collectionStyle: "any" });
}
