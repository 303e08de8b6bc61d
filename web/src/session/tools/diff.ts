/** One line of a diff. */
export interface DiffLine { kind: "same" | "added" | "removed"; text: string; before?: number; after?: number }

/** Above this many cells the table of the comparison is not made: what differs is shown as replaced as a whole. */
const maxCells = 1_000_000;

/** Compares two texts line by line. What they share at their beginning and end costs nothing; the rest is compared exactly up to 1,000 × 1,000 lines. */
export function diffLines(before: string, after: string): DiffLine[] {
  const a = linesOf(before);
  const b = linesOf(after);
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  const out: DiffLine[] = [];
  for (let i = 0; i < head; i++) out.push({ kind: "same", text: a[i] ?? "" });
  middle(a.slice(head, a.length - tail), b.slice(head, b.length - tail), out);
  for (let i = a.length - tail; i < a.length; i++) out.push({ kind: "same", text: a[i] ?? "" });
  return numbered(out);
}

function linesOf(text: string): string[] {
  if (text === "") return [];
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

/** The longest common subsequence, by the table of its lengths. */
function middle(a: readonly string[], b: readonly string[], out: DiffLine[]) {
  const remove = (i: number) => { out.push({ kind: "removed", text: a[i] ?? "" }); };
  const add = (j: number) => { out.push({ kind: "added", text: b[j] ?? "" }); };
  const width = b.length + 1;
  if (a.length * b.length > maxCells) {
    a.forEach((_, i) => remove(i));
    b.forEach((_, j) => add(j));
    return;
  }
  const length = new Uint32Array((a.length + 1) * width);
  const at = (i: number, j: number) => length[i * width + j] ?? 0;
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) length[i * width + j] = a[i] === b[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
  }
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) { out.push({ kind: "same", text: a[i] ?? "" }); i++; j++; }
    else if (i < a.length && (j === b.length || at(i + 1, j) >= at(i, j + 1))) remove(i++);
    else add(j++);
  }
}

function numbered(lines: DiffLine[]): DiffLine[] {
  let before = 0;
  let after = 0;
  return lines.map((line) => ({
    ...line,
    ...(line.kind === "added" ? {} : { before: ++before }),
    ...(line.kind === "removed" ? {} : { after: ++after }),
  }));
}

/** How many lines were added and removed. */
export function countLines(lines: readonly DiffLine[]): { added: number; removed: number } {
  let added = 0;
  let removed = 0;
  for (const { kind } of lines) { if (kind === "added") added++; else if (kind === "removed") removed++; }
  return { added, removed };
}

/** Leaves out unchanged lines that are further than context from a change; null stands for what was left out. */
export function withContext(lines: readonly DiffLine[], context = 3): (DiffLine | null)[] {
  const near = new Uint8Array(lines.length);
  lines.forEach(({ kind }, i) => { if (kind !== "same") near.fill(1, Math.max(0, i - context), i + context + 1); });
  const out: (DiffLine | null)[] = [];
  lines.forEach((line, i) => {
    if (near[i]) out.push(line);
    else if (out.at(-1) !== null) out.push(null);
  });
  return out;
}
