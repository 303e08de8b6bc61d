import { useMutation, useQueryClient } from "@tanstack/react-query";
import type { components } from "@/api/schema";
import { request } from "@/api/client";
import { toastProblem } from "@/ui/toast";

/** Where attachments go in the workspace, and how large one and all of a message may be, in bytes and files (the host's limits). */
const folder = "uploads";
const maxFile = 50 << 20;
const maxAll = 200 << 20;
const maxFiles = 50;

/** Puts files into the workspace. It gives the mentions that tell the agent of them. */
export function useAttach(sessionId: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async (files: readonly File[]): Promise<string> => {
      const large = files.find((f) => f.size > maxFile);
      if (large) throw new Error(`${large.name} is larger than 50 MiB`);
      if (files.length > maxFiles || files.reduce((sum, f) => sum + f.size, 0) > maxAll) throw new Error("at most 50 files and 200 MiB at once");
      const form = new FormData();
      for (const f of files) form.append("files", f, f.name);
      const answer = await request(`/api/files/${encodeURIComponent(sessionId)}/upload?target_path=${folder}&overwrite=true`, { method: "POST", body: form });
      const { uploaded } = (await answer.json()) as components["schemas"]["Uploaded"];
      return (uploaded ?? []).map((u) => `@${u.path} `).join("");
    },
    onSuccess: () => { void queries.invalidateQueries({ queryKey: ["session", sessionId, "files"] }); },
    onError: toastProblem,
  });
}
