import { request } from "@/api/client";
import { SseParser } from "../sse";

/** Calls fn with the data of every event of a server-sent stream, until it ends, says [DONE], or signal aborts it. */
export async function follow(path: string, signal: AbortSignal, fn: (data: string) => void): Promise<void> {
  const response = await request(path, { headers: { Accept: "text/event-stream" }, signal });
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new SseParser();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    for (const { data } of parser.feed(value)) {
      if (data === "[DONE]") { await reader.cancel(); return; }
      if (data) fn(data);
    }
  }
}
