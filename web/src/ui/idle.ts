/** Calls fn when the page has nothing else to do, after at most a second; the result calls it off. */
export function whenIdle(fn: () => void): () => void {
  if ("requestIdleCallback" in window) {
    const id = requestIdleCallback(fn, { timeout: 1_000 });
    return () => { cancelIdleCallback(id); };
  }
  const id = setTimeout(fn, 200); // Safari knows no idle callbacks
  return () => { clearTimeout(id); };
}
