import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { maxFile, Uploads } from "./uploads";

/** Answers a PUT as the host does that has what is in `there`. */
class Host extends EventTarget {
  static there = new Set<string>();
  static sent: { path: string; condition: string | undefined }[] = [];
  upload = new EventTarget();
  status = 0;
  responseText = "";
  #path = "";
  #headers: Record<string, string> = {};
  open(_method: string, path: string) { this.#path = decodeURIComponent(path); }
  setRequestHeader(name: string, value: string) { this.#headers[name] = value; }
  abort() { this.dispatchEvent(new Event("abort")); }
  send() {
    const condition = this.#headers["If-None-Match"];
    Host.sent.push({ path: this.#path, condition });
    this.status = condition === "*" && Host.there.has(this.#path) ? 412 : this.#path.endsWith("full") ? 507 : 200;
    this.responseText = this.status === 507 ? JSON.stringify({ detail: "the disk is full" }) : "{}";
    queueMicrotask(() => this.dispatchEvent(new Event("load")));
  }
}

beforeEach(() => { Host.there.clear(); Host.sent = []; vi.stubGlobal("XMLHttpRequest", Host); });
afterEach(() => { vi.unstubAllGlobals(); });

const source = (path: string, text = "x") => ({ path, file: new File([text], path) });

async function settled(uploads: Uploads) {
  await vi.waitFor(() => { const p = uploads.snapshot(); expect(p.total > 0 && !p.running && p.ended + p.exists.length === p.total).toBe(true); });
  return uploads.snapshot();
}

describe("uploads", () => {
  it("sends everything and counts it", async () => {
    const uploads = new Uploads("s");
    uploads.add(Array.from({ length: 20 }, (_, i) => source(`f/${i}`)), () => false);
    expect(await settled(uploads)).toMatchObject({ total: 20, done: 20, sent: 20, bytes: 20, failed: [], exists: [] });
    expect(Host.sent.every((s) => s.condition === "*")).toBe(true);
  });
  it("replaces nothing unasked, also what has come meanwhile", async () => {
    Host.there.add("/api/files/s/new");
    const uploads = new Uploads("s");
    uploads.add([source("known"), source("new"), source("free")], (path) => path === "known");
    const asked = await settled(uploads);
    expect(asked.exists.map((u) => u.path)).toEqual(["known", "new"]);
    expect(asked.done).toBe(1);
    uploads.answer(true);
    await vi.waitFor(() => expect(uploads.snapshot().done).toBe(3));
    expect(Host.sent.filter((s) => s.condition === undefined).map((s) => s.path)).toEqual(["/api/files/s/known", "/api/files/s/new"]);
  });
  it("skips what is to be kept", async () => {
    const uploads = new Uploads("s");
    uploads.add([source("known")], () => true);
    await settled(uploads);
    uploads.answer(false);
    await vi.waitFor(() => expect(uploads.snapshot()).toMatchObject({ ended: 1, done: 0, exists: [] }));
    expect(Host.sent).toEqual([]);
  });
  it("says the limit for a file that is too large, and why another failed", async () => {
    const big = new File([], "big");
    Object.defineProperty(big, "size", { value: maxFile + 1 });
    const uploads = new Uploads("s");
    uploads.add([{ path: "big", file: big }, source("full")], () => false);
    const p = await settled(uploads);
    expect(p.failed.map((u) => u.error)).toEqual(["It has 50.0 MiB; the limit for a file is 50.0 MiB.", "the disk is full"]);
  });
});
