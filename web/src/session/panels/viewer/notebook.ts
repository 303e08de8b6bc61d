/** A cell of a Jupyter notebook, as far as it is shown. */
export interface Cell { kind: "markdown" | "code" | "raw"; source: string; count: number | undefined; outputs: Output[] }

export type Output =
  | { kind: "text"; text: string; error: boolean }
  | { kind: "image"; url: string }
  | { kind: "markdown"; text: string }
  | { kind: "html"; text: string };

export interface Notebook { language: string; cells: Cell[] }

type Json = Record<string, unknown>;

const isObject = (v: unknown): v is Json => typeof v === "object" && v !== null && !Array.isArray(v);
const list = (v: unknown): unknown[] => (Array.isArray(v) ? v : []);

/** nbformat has texts as one string or as lines. */
function textOf(v: unknown): string { return typeof v === "string" ? v : list(v).filter((l) => typeof l === "string").join(""); }

// Colours that a terminal would show; ESC is built, so that no control character stands in a pattern.
const ansi = new RegExp(`${String.fromCharCode(27)}\\[[0-9;?]*[ -/]*[@-~]`, "g");

export function plain(text: string): string { return text.replace(ansi, ""); }

/** Reads a notebook (nbformat 4). Fails when it is none. */
export function parseNotebook(text: string): Notebook {
  const root: unknown = JSON.parse(text);
  if (!isObject(root) || !Array.isArray(root.cells)) throw new Error("It has no cells; only notebooks of nbformat 4 can be shown.");
  const meta = isObject(root.metadata) ? root.metadata : {};
  const info = isObject(meta.language_info) ? meta.language_info : isObject(meta.kernelspec) ? meta.kernelspec : {};
  const language = typeof info.name === "string" ? info.name : "python";
  return { language, cells: root.cells.filter(isObject).map(cellOf) };
}

function cellOf(cell: Json): Cell {
  const kind = cell.cell_type === "markdown" || cell.cell_type === "code" ? cell.cell_type : "raw";
  return {
    kind, source: textOf(cell.source), count: typeof cell.execution_count === "number" ? cell.execution_count : undefined,
    outputs: list(cell.outputs).filter(isObject).flatMap(outputsOf),
  };
}

function outputsOf(output: Json): Output[] {
  if (output.output_type === "stream") return [{ kind: "text", text: plain(textOf(output.text)), error: output.name === "stderr" }];
  if (output.output_type === "error") {
    const trace = list(output.traceback).filter((l) => typeof l === "string").join("\n");
    return [{ kind: "text", text: plain(trace || `${textOf(output.ename)}: ${textOf(output.evalue)}`), error: true }];
  }
  const data = isObject(output.data) ? output.data : {};
  // The richest form that is safe; HTML may do anything, so it is shown as what it is: text.
  for (const type of ["image/png", "image/jpeg"]) {
    const base64 = textOf(data[type]).replaceAll(/\s/g, "");
    if (base64 && /^[A-Za-z0-9+/=]+$/.test(base64)) return [{ kind: "image", url: `data:${type};base64,${base64}` }];
  }
  if (data["image/svg+xml"] !== undefined) return [{ kind: "image", url: `data:image/svg+xml,${encodeURIComponent(textOf(data["image/svg+xml"]))}` }];
  if (data["text/markdown"] !== undefined) return [{ kind: "markdown", text: textOf(data["text/markdown"]) }];
  const shown: Output[] = [];
  if (data["text/plain"] !== undefined) shown.push({ kind: "text", text: plain(textOf(data["text/plain"])), error: false });
  if (data["text/html"] !== undefined) shown.push({ kind: "html", text: textOf(data["text/html"]) });
  return shown;
}
