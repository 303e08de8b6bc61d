import { type RefObject, useEffect, useState } from "react";

/** How far outside of the visible part, in pixels, rows are there already. */
const margin = "1200px 0px";

interface Watch { observer: IntersectionObserver; seen: Map<Element, (near: boolean, height: number) => void> }
const watches = new WeakMap<Element, Watch>();

function watch(root: Element): Watch {
  let it = watches.get(root);
  if (!it) {
    const seen: Watch["seen"] = new Map();
    const observer = new IntersectionObserver((entries) => {
      for (const e of entries) seen.get(e.target)?.(e.isIntersecting, e.boundingClientRect.height);
    }, { root, rootMargin: margin });
    watches.set(root, it = { observer, seen });
  }
  return it;
}

/**
 * Whether an element is in the visible part of what scrolls, or near it; and how high it was when it was last there. What has the focus stays.
 */
export function useNear(root: RefObject<HTMLElement | null>, element: RefObject<HTMLElement | null>, initial: boolean): { near: boolean; height: number } {
  const [state, setState] = useState({ near: initial, height: 0 });
  useEffect(() => {
    const own = element.current;
    if (!own || !root.current) return undefined;
    const { observer, seen } = watch(root.current);
    seen.set(own, (near, height) => {
      if (!near && own.contains(document.activeElement)) return;
      setState((was) => (was.near === near ? was : { near, height: near ? was.height : height }));
    });
    observer.observe(own);
    return () => { observer.unobserve(own); seen.delete(own); };
  }, [root, element]);
  return state;
}
