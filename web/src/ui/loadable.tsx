import { type ComponentType, lazy, useState } from "react";

export type Loadable<P extends object> = ComponentType<P> & {
  /** Fetches the code ahead of the first use; a failure shows when it is used. */
  preload: () => void;
};

/**
 * A component whose code is fetched when it is first drawn, or ahead of that by preload; then it is there at once. React's lazy alone shows
 * its fallback for some 300 ms, even when the code is there already or comes sooner.
 */
export function loadable<P extends object>(load: () => Promise<{ default: ComponentType<P> }>): Loadable<P> {
  let there: ComponentType<P> | undefined;
  const fetch = async () => {
    const code = await load();
    there = code.default;
    return code;
  };
  const Lazy = lazy(fetch) as unknown as ComponentType<P>;
  function Loaded(props: P) {
    // Which of the two stays for as long as it is drawn: to change it would begin it anew.
    const [Content] = useState(() => there ?? Lazy);
    return <Content {...props} />;
  }
  return Object.assign(Loaded, { preload: () => { if (!there) fetch().catch(() => undefined); } });
}
