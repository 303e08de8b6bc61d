import { afterEach, describe, expect, it, vi } from "vitest";
import { follow } from "./sse";

afterEach(() => { vi.unstubAllGlobals(); });

function answers(...chunks: string[]) {
  const bytes = chunks.map((c) => new TextEncoder().encode(c));
  vi.stubGlobal("fetch", () => Promise.resolve(new Response(new ReadableStream<Uint8Array>({
    start(out) { bytes.forEach((b) => out.enqueue(b)); out.close(); },
  }))));
}

async function all(): Promise<string[]> {
  const got: string[] = [];
  await follow("/x", new AbortController().signal, (data) => got.push(data));
  return got;
}

describe("a server-sent stream", () => {
  it("puts events together that come in pieces", async () => {
    answers("id: 1\ndata: {\"a\"", ":1}\n", "\ndata: two\n\n");
    expect(await all()).toEqual(['{"a":1}', "two"]);
  });
  it("ends at [DONE] and leaves comments out", async () => {
    answers(": ping\n\ndata: one\n\ndata: [DONE]\n\ndata: never\n\n");
    expect(await all()).toEqual(["one"]);
  });
  it("joins the lines of an event", async () => { answers("data: a\ndata: b\n\n"); expect(await all()).toEqual(["a\nb"]); });
  it("fails with the host's problem", async () => {
    vi.stubGlobal("fetch", () => Promise.resolve(new Response(JSON.stringify({ detail: "no sandbox" }), { status: 503 })));
    await expect(all()).rejects.toMatchObject({ status: 503, detail: "no sandbox" });
  });
});
