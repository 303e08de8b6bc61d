/** A text is kept byte for byte: CR is a line's end only when all lines have it. */
export function lineEnding(text: string): "\r\n" | "\n" {
  const lf = text.split("\n").length - 1;
  return lf > 0 && text.split("\r\n").length - 1 === lf ? "\r\n" : "\n";
}
