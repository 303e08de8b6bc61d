import { afterEach, describe, expect, it, vi } from "vitest";
import { decode, linesOf, load, maxText } from "./load";

afterEach(() => { vi.unstubAllGlobals(); });

/** A host with one text that its preview cuts after ten characters. */
function host(text: string | Uint8Array<ArrayBuffer>, size = text.length) {
  const asked: string[] = [];
  const head = typeof text === "string" ? text.slice(0, 10) : "0123456789";
  vi.stubGlobal("fetch", (url: string | Request) => {
    const path = typeof url === "string" ? url : url.url;
    asked.push(path.includes("raw=true") ? "raw" : "preview");
    return Promise.resolve(path.includes("raw=true") ? new Response(text, { headers: { ETag: '"t2"' } }) : Response.json({
      type: "text", path: "a.txt", content: head, lines: 1, encoding: "utf-8", media_type: "text/plain", size_bytes: size, truncated: true, etag: "t2",
    }, { headers: { ETag: '"t2"' } }));
  });
  return asked;
}

describe("opening a text that is longer than its preview", () => {
  it("fetches all of it, once as long as it stays the same", async () => {
    const asked = host("0123456789\nand more\n");
    const first = await load("s", "a.txt", undefined);
    expect(first).toMatchObject({ kind: "file", cut: false, etag: "t2", preview: { content: "0123456789\nand more\n", lines: 2, truncated: false } });
    expect(await load("s", "a.txt", undefined, first)).toBe(first);
    expect(asked).toEqual(["preview", "raw", "preview"]);
  });
  it("shows the beginning when it is too long", async () => {
    const asked = host("0123456789 and more", maxText + 1);
    expect(await load("s", "a.txt", undefined)).toMatchObject({ cut: true, preview: { content: "0123456789", truncated: true } });
    expect(asked).toEqual(["preview"]);
  });
  it("shows the beginning when the rest is no text", async () => {
    host(new Uint8Array([48, 0xff, 0xfe, 0]), 4_000_000);
    expect(await load("s", "a.txt", undefined)).toMatchObject({ cut: true, preview: { content: "0123456789" } });
  });
});

describe("bytes as text", () => {
  it.each([
    [[0x68, 0xc3, 0xa9], "utf-8", "hé"], [[0xef, 0xbb, 0xbf, 0x61], "utf-8-bom", "a"], [[0x61, 0, 0x62, 0], "utf-16le", "ab"], [[0x61, 0], "utf-8", undefined], [[0xc3], "utf-8", undefined],
  ])("%j as %s is %j", (bytes, encoding, text) => { expect(decode(new Uint8Array(bytes).buffer, encoding)).toBe(text); });
  it("has lines", () => { expect(["", "a", "a\n", "a\nb", "\n\n"].map(linesOf)).toEqual([0, 1, 1, 2, 2]); });
});
