import { useSyncExternalStore } from "react";

export type Theme = "system" | "light" | "dark";
const slot = "agcluster.theme";
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set<() => void>();

function read(): Theme {
  try {
    const value = localStorage.getItem(slot);
    return value === "light" || value === "dark" ? value : "system";
  } catch {
    return "system";
  }
}

let chosen = read();

function apply() {
  document.documentElement.dataset.theme = chosen === "dark" || (chosen === "system" && dark.matches) ? "dark" : "light";
  listeners.forEach((fn) => fn());
}
dark.addEventListener("change", apply);

export function setTheme(theme: Theme) {
  chosen = theme;
  try {
    if (theme === "system") localStorage.removeItem(slot);
    else localStorage.setItem(slot, theme);
  } catch { /* it holds for this page */ }
  apply();
}

const subscribe = (fn: () => void) => { listeners.add(fn); return () => { listeners.delete(fn); }; };

/** What the person chose. */
export function useTheme(): Theme { return useSyncExternalStore(subscribe, () => chosen); }

/** Whether the page is dark now, for parts that CSS can't reach (charts, the terminal, editors). */
export function useDark(): boolean { return useSyncExternalStore(subscribe, () => document.documentElement.dataset.theme === "dark"); }
