import { useQuery } from "@tanstack/react-query";
import { api } from "@/api/client";

/** How the host is, every ten seconds. */
export function useHealth() {
  return useQuery({
    queryKey: ["health"],
    queryFn: async ({ signal }) => (await api.GET("/health", { signal })).data,
    refetchInterval: 10_000, retry: false,
  });
}
