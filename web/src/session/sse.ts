/** One message of a stream of server-sent events. comment is what one says to those who read comments. */
export interface Message { id: string; data: string; comment: string }

/** Cuts text into server-sent events. Feed it any pieces; it gives each message once it is whole. */
export class SseParser {
  private rest = "";

  feed(piece: string): Message[] {
    this.rest += piece;
    const out: Message[] = [];
    let from = 0;
    for (;;) {
      const end = this.rest.indexOf("\n\n", from);
      if (end < 0) break;
      const message = parse(this.rest.slice(from, end));
      if (message) out.push(message);
      from = end + 2;
    }
    if (from > 0) this.rest = this.rest.slice(from);
    return out;
  }
}

function parse(block: string): Message | undefined {
  let id = "";
  let comment = "";
  const data: string[] = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("id:")) id = line.slice(3).trim();
    else if (line.startsWith("data:")) data.push(line.slice(line.startsWith("data: ") ? 6 : 5));
    else if (line.startsWith(":")) comment = line.slice(1).trim();
  }
  return id || comment || data.length > 0 ? { id, data: data.join("\n"), comment } : undefined;
}
