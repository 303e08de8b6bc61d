import { queryOptions } from "@tanstack/react-query";
import { request } from "@/api/client";
import type { Config } from "@/app/types";
import { isRecord, write } from "./document";

/** A configuration as YAML: the host's, or made from its JSON by a host that gives no other. */
export const yamlQuery = (id: string) => queryOptions({
  queryKey: ["config-yaml", id], staleTime: 0, gcTime: 0, refetchOnWindowFocus: false, retry: false,
  queryFn: async ({ signal }) => {
    const answer = await request(`/api/configs/${encodeURIComponent(id)}`, { signal, headers: { Accept: "application/yaml" } });
    const text = await answer.text();
    return answer.headers.get("Content-Type")?.includes("json") ? write(asConfig(JSON.parse(text))) : text;
  },
});

/** What was read, without what an answer has beside the configuration. */
export function asConfig(value: unknown): Config {
  return isRecord(value) ? Object.fromEntries(Object.entries(value).filter(([key]) => key !== "$schema")) : {};
}

const json = { "Content-Type": "application/json" };

/** Keeps a configuration as a new one of the users' own. */
export async function create(value: Record<string, unknown>): Promise<void> { await request("/api/configs/custom", { method: "POST", headers: json, body: JSON.stringify(value) }); }

export async function replace(id: string, value: Record<string, unknown>): Promise<void> {
  await request(`/api/configs/custom/${encodeURIComponent(id)}`, { method: "PUT", headers: json, body: JSON.stringify(value) });
}

export async function drop(id: string): Promise<void> { await request(`/api/configs/custom/${encodeURIComponent(id)}`, { method: "DELETE" }); }

/** A text out of an imported file: YAML as it is, JSON as YAML. */
export function imported(text: string): string {
  if (!text.trimStart().startsWith("{")) return text;
  try { return write(asConfig(JSON.parse(text))); } catch { return text; }
}

/** Gives the person a file. */
export function give(name: string, text: string) {
  const url = URL.createObjectURL(new Blob([text], { type: "application/yaml" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // The browser has taken it by the next task.
  setTimeout(() => URL.revokeObjectURL(url), 0);
}
