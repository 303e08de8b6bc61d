import { PackageX } from "lucide-react";
import { Button } from "@/ui/button";
import { Empty } from "@/ui/empty";
import { ProblemNotice } from "@/ui/notice";
import { isMissing } from "./catalog";

/** What a part of a page shows instead of its content: that this host has it not (an older or smaller one), or why it failed. */
export function Failure({ error, what, onRetry }: { error: unknown; what: string; onRetry: () => void }) {
  if (isMissing(error)) {
    return (
      <Empty icon={PackageX} title={`This host has no ${what}`}>
        <p>It answered 404: it is older than this dashboard, or the part is switched off. Everything else works.</p>
        <Button small className="mt-3" onClick={onRetry}>Look again</Button>
      </Empty>
    );
  }
  return <div className="p-3"><ProblemNotice error={error} action={<Button small onClick={onRetry}>Try again</Button>} /></div>;
}
