import { queryOptions, useQueries, useQuery } from "@tanstack/react-query";
import { api, request } from "@/api/client";
import { Problem } from "@/api/problem";
import { queryClient } from "./queries";
import type { About, Config, Health, LogLine, PluginDetails, PolicyDetails, Provider, Providers, Session, Setting, Summary, Tool } from "./types";

/** A JSON answer of a route that the generated types may not know yet. */
export async function getJSON<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await (await request(path, signal ? { signal } : {})).json()) as T;
}

/** Whether the host does not have what was asked for. */
export function isMissing(error: unknown): boolean { return error instanceof Problem && error.status === 404; }

const configsQuery = queryOptions({
  queryKey: ["configs"], staleTime: 30_000,
  queryFn: async ({ signal }) => {
    const list: Summary[] = (await api.GET("/api/configs/", { signal })).data?.configs ?? [];
    return list.toSorted((a, b) => Number(a.custom) - Number(b.custom) || a.name.localeCompare(b.name));
  },
});

/** All configurations, presets first and the users' own after them. */
export function useConfigs() { return useQuery(configsQuery); }

/** Asks for what the launch page shows while its code is still on the way. Whether it comes, the page itself will see. */
export function preloadConfigs() {
  const seen = () => undefined;
  queryClient.query(configsQuery).catch(seen);
  queryClient.query(providersQuery).catch(seen);
}

/** Those of the users' own configurations that can't be used now, with what is wrong; they can be replaced and deleted. */
export function useBroken() {
  return useQuery({ queryKey: ["configs", "broken"], staleTime: 30_000, queryFn: async ({ signal }) => (await api.GET("/api/configs/custom/list", { signal })).data?.broken ?? [] });
}

export const configQuery = (id: string) => queryOptions({
  queryKey: ["config", id], staleTime: 30_000,
  queryFn: async ({ signal }): Promise<Config> => {
    const { data } = await api.GET("/api/configs/{config_id}", { params: { path: { config_id: id } }, headers: { Accept: "application/json" }, signal });
    // The route has YAML, too, for those who ask for it.
    if (!data || typeof data === "string") throw new Problem(404, `There is no configuration ${id}`);
    return data;
  },
});

/** The complete configurations of these ids, by id; those that are not there yet are left out. */
export function useConfigDetails(ids: string[]): ReadonlyMap<string, Config> {
  return useQueries({
    queries: ids.map((id) => configQuery(id)),
    combine: (results) => new Map(results.flatMap((r, i) => {
      const id = ids[i];
      return r.data && id !== undefined ? [[id, r.data] as const] : [];
    })),
  });
}

/** The providers as a host without GET /api/providers tells them in its health. */
export function providersOf(health: Health): Provider[] {
  return (health.plugins ?? []).filter((p) => p.kind === "provider").map((p) => ({
    name: p.name, default: p.name === health.provider, available: p.state !== "restarting",
    ...(p.state === "restarting" ? { reason: "it is being restarted" } : {}), ...(p.version ? { version: p.version } : {}),
  }));
}

const providersQuery = queryOptions({
  queryKey: ["providers"], staleTime: 10_000,
  queryFn: async ({ signal }): Promise<Providers> => {
    try {
      return await getJSON<Providers>("/api/providers", signal);
    } catch (error) {
      if (!isMissing(error)) throw error;
      const health = (await api.GET("/health", { signal })).data;
      const providers = health ? providersOf(health) : [];
      return { providers, total: providers.length, ...(health ? { pool: health.pool } : {}) };
    }
  },
});

export function useProviders() { return useQuery(providersQuery); }

export function usePolicies() {
  return useQuery({ queryKey: ["policies"], staleTime: 10_000, queryFn: async ({ signal }) => (await getJSON<{ policies: PolicyDetails[] | null }>("/api/policies", signal)).policies ?? [] });
}

export function usePlugins() {
  return useQuery({ queryKey: ["plugins"], refetchInterval: 5_000, queryFn: async ({ signal }) => (await getJSON<{ plugins: PluginDetails[] | null }>("/api/plugins", signal)).plugins ?? [] });
}

export function usePluginLogs(name: string) {
  return useQuery({
    queryKey: ["plugin-logs", name], refetchInterval: 3_000,
    queryFn: async ({ signal }) => (await getJSON<{ lines: LogLine[] | null }>(`/api/plugins/${encodeURIComponent(name)}/logs?tail=200`, signal)).lines ?? [],
  });
}

export function useSettings() {
  return useQuery({ queryKey: ["settings"], queryFn: async ({ signal }) => (await getJSON<{ settings: Setting[] | null }>("/api/settings", signal)).settings ?? [] });
}

export function useAbout() {
  return useQuery({ queryKey: ["about"], queryFn: ({ signal }) => getJSON<About>("/api/about", signal) });
}

export function useTools() {
  return useQuery({ queryKey: ["tools"], staleTime: Infinity, queryFn: async ({ signal }) => (await getJSON<{ tools: Tool[] | null }>("/api/configs/tools", signal)).tools ?? [] });
}

/**
 * The key's sessions. live: asked for every three seconds while the page is seen, and with hidden, which is for notifications, also while it is
 * not, as often as a browser lets a hidden page. The answer of one key is never another's.
 */
export function useSessions(key: string, live: boolean, hidden = false) {
  return useQuery({
    queryKey: ["sessions", key], enabled: key !== "", refetchInterval: live ? 3_000 : false, refetchIntervalInBackground: hidden, staleTime: 2_000,
    queryFn: async ({ signal }): Promise<Session[]> => (await api.GET("/api/agents/sessions", { signal })).data?.sessions ?? [],
  });
}
