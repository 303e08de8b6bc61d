import { asProblem } from "@/api/problem";
import { Button } from "@/ui/button";
import { Notice } from "@/ui/notice";
import { useHealth } from "./health";

/** Says so when the host does not answer; what is on the page stays. */
export function HostBanner() {
  const { error, refetch, isFetching } = useHealth();
  if (!error) return null;
  return (
    <Notice tone="warn" className="rounded-none" action={<Button small busy={isFetching} onClick={() => void refetch()}>Try now</Button>}>
      {asProblem(error).status === 0 ? "The host can't be reached. What you see may be old; it goes on by itself once the host is back." : asProblem(error).detail}
    </Notice>
  );
}
