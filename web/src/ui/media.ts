import { useSyncExternalStore } from "react";

/** Whether a media query holds now. Without matchMedia (a test) it does not. */
export function useMedia(query: string): boolean {
  return useSyncExternalStore(
    (fn) => {
      const list = window.matchMedia(query);
      list.addEventListener("change", fn);
      return () => list.removeEventListener("change", fn);
    },
    () => window.matchMedia(query).matches,
  );
}

/** Whether the page is as narrow as a phone. */
export function useNarrow(): boolean { return useMedia("(max-width: 767px)"); }
