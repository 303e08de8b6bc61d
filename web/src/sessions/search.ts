/** What of the sessions is shown, as the address says it; all of it is a deep link. */
export interface SessionsSearch {
  q?: string;
  status?: Filter;
  config?: string;
  sort?: Sort;
  /** Ascending; descending without it. */
  up?: boolean;
}

export const filters = ["waiting", "working", "idle", "asleep", "failed"] as const;
export type Filter = (typeof filters)[number];

export const sorts = ["active", "created", "title", "status", "cost"] as const;
export type Sort = (typeof sorts)[number];

const oneOf = <T extends string>(list: readonly T[], value: unknown): value is T => list.some((v) => v === value);

/** Reads the address; what it does not know is left out. */
export function readSessionsSearch(search: Record<string, unknown>): SessionsSearch {
  return {
    // The router reads a search for 12 as a number.
    ...(typeof search.q === "string" && search.q ? { q: search.q } : typeof search.q === "number" ? { q: String(search.q) } : {}),
    ...(oneOf(filters, search.status) ? { status: search.status } : {}),
    ...(typeof search.config === "string" && search.config ? { config: search.config } : {}),
    ...(oneOf(sorts, search.sort) ? { sort: search.sort } : {}),
    ...(search.up === true ? { up: true } : {}),
  };
}
