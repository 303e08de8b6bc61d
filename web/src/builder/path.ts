/** A place in a configuration: keys of maps and indices of lists. */
export type Path = (string | number)[];

/** A place as the host writes it: agents.rev.model, policies[0].params, env."A B". */
export function written(path: Path): string {
  return path.reduce<string>((out, part) => {
    if (typeof part === "number") return `${out}[${part}]`;
    const key = part === "" || /[.[\]"\s]/.test(part) ? JSON.stringify(part) : part;
    return out === "" ? key : `${out}.${key}`;
  }, "");
}

/** Reads a place as the host writes it; what can't be read ends it. */
export function readPath(text: string): Path {
  const path: Path = [];
  const part = /\.?(?:\[(\d+)\]|"((?:[^"\\]|\\.)*)"|([^.[\]"]+))/y;
  for (let m = part.exec(text); m; m = part.exec(text)) {
    if (m[1] !== undefined) path.push(Number(m[1]));
    else if (m[2] !== undefined) path.push(unquoted(m[2]));
    else if (m[3] !== undefined) path.push(m[3]);
  }
  return path;
}

function unquoted(text: string): string {
  try { return String(JSON.parse(`"${text}"`)); } catch { return text; }
}
