import { QueryClient } from "@tanstack/react-query";
import { Problem } from "@/api/problem";

// Server state lives here and nowhere else. A refusal (4xx) is an answer and is not asked for again.
export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      retry: (count, error) => !(error instanceof Problem && error.status >= 400 && error.status < 500) && count < 2,
      refetchOnWindowFocus: true,
    },
  },
});
