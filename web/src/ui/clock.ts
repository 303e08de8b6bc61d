import { useEffect, useState } from "react";

/** The time in milliseconds, renewed every interval while the page is seen. */
export function useNow(interval = 1000): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const id = setInterval(() => { if (!document.hidden) setNow(Date.now()); }, interval);
    return () => clearInterval(id);
  }, [interval]);
  return now;
}
