import { Problem } from "@/api/problem";

/** The JSON values of an event stream, in order, until `[DONE]` or its end. A value that is no JSON is an error: the host sent it. */
export async function* values<T>(response: Response): AsyncGenerator<T, void, undefined> {
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      rest += value;
      const blocks = rest.split(/\r?\n\r?\n/);
      rest = blocks.pop() ?? "";
      for (const block of blocks) {
        const data = dataOf(block);
        if (data === "[DONE]") return;
        if (data === "") continue;
        let parsed: T;
        try { parsed = JSON.parse(data) as T; } catch { throw new Problem(502, "The host sent what can't be read"); }
        yield parsed;
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined); // the stream may have failed, which has been told already
  }
}

/** The data of one event; comments (heartbeats) have none. */
export function dataOf(block: string): string {
  return block.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5).replace(/^ /, "")).join("\n");
}
