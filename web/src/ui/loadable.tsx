import { type ComponentType, useEffect, useState } from "react";

export type Loadable<P extends object> = ComponentType<P> & {
  /** Fetches the code ahead of the first use, and ends when it is there; a failure shows when it is used. */
  preload: () => Promise<void>;
};

/**
 * A component whose code is fetched when it is first drawn, or ahead of that by preload; then it is there at once. Until then it is drawn as
 * Waiting. A failure goes to the next error boundary; to draw it anew tries again.
 *
 * It is not React's lazy, because Suspense shows its fallback for at least 300 ms, even when the code comes in ten.
 */
export function loadable<P extends object>(load: () => Promise<{ default: ComponentType<P> }>, Waiting: ComponentType): Loadable<P> {
  let there: ComponentType<P> | undefined;
  let coming: Promise<void> | undefined;
  const fetch = () => coming ??= load().then((code) => { there = code.default; }, (error: unknown) => { coming = undefined; throw error; });

  function Loaded(props: P) {
    const [Content, setContent] = useState(() => there);
    const [failed, setFailed] = useState<{ error: unknown }>();
    useEffect(() => {
      if (Content) return undefined;
      let gone = false;
      fetch().then(() => { if (!gone) setContent(() => there); }, (error: unknown) => { if (!gone) setFailed({ error }); });
      return () => { gone = true; };
    }, [Content]);
    if (failed) throw failed.error;
    return Content ? <Content {...props} /> : <Waiting />;
  }
  return Object.assign(Loaded, { preload: () => fetch().catch(() => undefined) });
}
