import type { ErrorComponentProps } from "@tanstack/react-router";
import { TriangleAlert } from "lucide-react";
import { Button } from "@/ui/button";
import { Empty } from "@/ui/empty";

/** What a page shows when it failed: its reason, and a way on. Nothing of a session is lost by it: the log is on the host. */
export function Crash({ error, reset }: ErrorComponentProps) {
  return (
    <Empty icon={TriangleAlert} title="This page failed">
      <p className="font-mono text-xs break-words">{error instanceof Error ? error.message : String(error)}</p>
      <Button className="mt-3" onClick={reset}>Try again</Button>
    </Empty>
  );
}
