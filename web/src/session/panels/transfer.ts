import { request } from "@/api/client";
import { currentKey } from "@/app/key";
import { Problem } from "@/api/problem";

/** Fetches bytes and tells how many have come; total is 0 when the host doesn't say. */
export async function fetchBlob(path: string, init: RequestInit, progress: (got: number, total: number) => void): Promise<{ blob: Blob; name: string }> {
  const response = await request(path, init);
  const total = Number(response.headers.get("Content-Length") ?? 0);
  const name = fileName(response.headers.get("Content-Disposition") ?? "");
  const type = response.headers.get("Content-Type") ?? "application/octet-stream";
  if (!response.body) return { blob: await response.blob(), name };
  const chunks: BlobPart[] = [];
  const reader = response.body.getReader();
  for (let got = 0; ;) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
    got += value.byteLength;
    progress(got, total);
  }
  return { blob: new Blob(chunks, { type }), name };
}

/** The file name of a Content-Disposition header, also in the form that RFC 8187 gives to names that are no ASCII. */
export function fileName(header: string): string {
  const long = /filename\*=(?:utf-8|UTF-8)''([^;]+)/.exec(header)?.[1];
  if (long) {
    try { return decodeURIComponent(long); } catch { /* the plain one must do */ }
  }
  const plain = /filename="((?:[^"\\]|\\.)*)"/.exec(header)?.[1]?.replace(/\\(.)/g, "$1") ?? /filename=([^;\s]+)/.exec(header)?.[1];
  return plain ?? "";
}

/** Hands bytes to the browser's downloads. The type keeps the browser from opening what an agent wrote. */
export function save(blob: Blob, name: string) {
  const url = URL.createObjectURL(new Blob([blob], { type: "application/octet-stream" }));
  const a = document.createElement("a");
  a.href = url;
  a.download = name || "download";
  a.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** Sends a file with PUT and tells how much has gone, which fetch can't. Fails as request does. */
export function put(path: string, body: Blob, headers: Record<string, string>, signal: AbortSignal, progress: (sent: number) => void): Promise<void> {
  return new Promise((done, failed) => {
    const xhr = new XMLHttpRequest();
    const stop = () => xhr.abort();
    const end = (fn: () => void) => { signal.removeEventListener("abort", stop); fn(); };
    xhr.open("PUT", path);
    const key = currentKey();
    if (key) xhr.setRequestHeader("Authorization", `Bearer ${key}`);
    for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
    xhr.upload.addEventListener("progress", (e) => progress(e.loaded));
    xhr.addEventListener("load", () => end(() => {
      if (xhr.status >= 200 && xhr.status < 300) done();
      else failed(problem(xhr.status, xhr.responseText));
    }));
    xhr.addEventListener("error", () => end(() => failed(new Problem(0, "The host can't be reached."))));
    xhr.addEventListener("abort", () => end(() => failed(new DOMException("The upload was cancelled.", "AbortError"))));
    if (signal.aborted) { failed(new DOMException("The upload was cancelled.", "AbortError")); return; }
    signal.addEventListener("abort", stop);
    xhr.send(body);
  });
}

function problem(status: number, text: string): Problem {
  try {
    const body = JSON.parse(text) as { title?: string; detail?: string; errors?: Problem["errors"] };
    return new Problem(status, body.detail ?? body.title ?? `The host answered ${status}`, body.errors ?? []);
  } catch {
    return new Problem(status, `The host answered ${status}`);
  }
}
