import createClient, { type Middleware } from "openapi-fetch";
import { currentKey } from "@/app/key";
import { problemOf } from "./problem";
import type { paths } from "./schema";

const middleware: Middleware = {
  onRequest({ request }) {
    const key = currentKey();
    if (key && !request.headers.has("Authorization")) request.headers.set("Authorization", `Bearer ${key}`);
    return request;
  },
  async onResponse({ response }) {
    if (!response.ok) throw await problemOf(response);
  },
};

/** The typed client. Every failure is thrown as a Problem. */
export const api = createClient<paths>({ baseUrl: "" });
api.use(middleware);

/** A request that the typed client can't make (streams, bytes), with the key and the same errors. */
export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  const key = currentKey();
  if (key) headers.set("Authorization", `Bearer ${key}`);
  const response = await fetch(path, { ...init, headers });
  if (!response.ok) throw await problemOf(response);
  return response;
}

/** A path inside a workspace as a part of a URL. */
export function filePath(path: string): string { return path.split("/").map(encodeURIComponent).join("/"); }
