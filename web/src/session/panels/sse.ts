import { request } from "@/api/client";

/** Calls fn with the data of every event of a server-sent stream, until it ends, says [DONE], or signal aborts it. */
export async function follow(path: string, signal: AbortSignal, fn: (data: string) => void): Promise<void> {
  const response = await request(path, { headers: { Accept: "text/event-stream" }, signal });
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += value.replaceAll("\r\n", "\n");
    const blocks = rest.split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      const data = block.split("\n").filter((l) => l.startsWith("data:")).map((l) => l.slice(5).replace(/^ /, "")).join("\n");
      if (data === "[DONE]") return;
      if (data) fn(data);
    }
  }
}
