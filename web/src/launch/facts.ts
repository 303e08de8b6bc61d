import type { Config } from "@/app/types";

/** Limits of a configuration as people read them: "2 CPU", "4 GiB", "10 GiB disk", "100 turns". */
export function limitsOf(config: Config): string[] {
  const { cpu_quota, memory_limit, storage_limit } = config.resource_limits ?? {};
  return [
    ...(cpu_quota ? [`${Number((cpu_quota / 100_000).toFixed(2))} CPU`] : []),
    ...(memory_limit ? [`${sizeOf(memory_limit)} memory`] : []),
    ...(storage_limit ? [`${sizeOf(storage_limit)} disk`] : []),
    ...(config.max_turns ? [`${config.max_turns} turns`] : []),
  ];
}

/** "4g" as "4 GiB"; what is no such size as it is. */
export function sizeOf(text: string): string {
  const parts = /^(\d+(?:\.\d+)?)\s*([kmgt])(?:i?b)?$/i.exec(text);
  return parts ? `${parts[1] ?? ""} ${(parts[2] ?? "").toUpperCase()}iB` : text;
}

/** What a configuration's network rule lets an agent reach. */
export function networkOf(config: Config): string {
  switch (config.network?.egress) {
    case "none": return "no network";
    case "allowlist": return `${config.network.allow?.length ?? 0} hosts`;
    default: return "open network";
  }
}
