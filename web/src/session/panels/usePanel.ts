import { useNavigate, useSearch } from "@tanstack/react-router";

/** Which side panel is open, and how to open another. The address holds it, so it is a deep link and Back works. */
export function usePanel() {
  const search = useSearch({ strict: false });
  const navigate = useNavigate();
  const panel = search.panel ?? (search.file ? "viewer" : "");
  return {
    panel,
    file: search.file ?? "",
    show: (next: string, more: { file?: string } = {}) => {
      const file = more.file ?? search.file;
      void navigate({ to: ".", search: { panel: next, ...(file ? { file } : {}) }, replace: next === panel && more.file === undefined });
    },
    hide: () => { void navigate({ to: ".", search: {} }); },
  };
}
