/**
 * Cuts markdown into parts that can be rendered by themselves, so that only the last one is rendered again while text streams in. It cuts at
 * blank lines, but not within a fenced block, and not before what may belong to the part above (a list, a quote, an indented line).
 */
export function splitMarkdown(text: string): string[] {
  const parts: string[] = [];
  let from = 0;
  let fence = "";
  let blank = false;
  for (let at = 0; at < text.length;) {
    const end = text.indexOf("\n", at);
    const line = text.slice(at, end < 0 ? text.length : end);
    const mark = /^ {0,3}(`{3,}|~{3,})/.exec(line)?.[1];
    if (!fence && blank && line.trim() !== "" && !/^(\s|[-*+>|]|\d+[.)])/.test(line)) {
      parts.push(text.slice(from, at));
      from = at;
    }
    if (mark) {
      if (!fence) fence = mark;
      else if (mark.startsWith(fence) && line.trim() === mark) fence = "";
    }
    blank = line.trim() === "";
    if (end < 0) break;
    at = end + 1;
  }
  parts.push(text.slice(from));
  return parts;
}
