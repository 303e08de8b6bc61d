import { type RefObject, useEffect, useEffectEvent, useState } from "react";

/** Takes files that are dropped onto an element; true while some are over it. */
export function useDrop(element: RefObject<HTMLElement | null>, onFiles: (files: File[]) => void): boolean {
  const [over, setOver] = useState(false);
  const dropped = useEffectEvent(onFiles);
  useEffect(() => {
    const el = element.current;
    if (!el) return undefined;
    const drag = (e: DragEvent) => {
      if (!e.dataTransfer?.types.includes("Files")) return;
      e.preventDefault();
      setOver(true);
    };
    const leave = (e: DragEvent) => { if (!(e.relatedTarget instanceof Node && el.contains(e.relatedTarget))) setOver(false); };
    const drop = (e: DragEvent) => {
      if (!e.dataTransfer?.types.includes("Files")) return;
      e.preventDefault();
      setOver(false);
      dropped([...e.dataTransfer.files]);
    };
    el.addEventListener("dragover", drag);
    el.addEventListener("dragleave", leave);
    el.addEventListener("drop", drop);
    return () => {
      el.removeEventListener("dragover", drag);
      el.removeEventListener("dragleave", leave);
      el.removeEventListener("drop", drop);
    };
  }, [element]);
  return over;
}

/** Keeps the browser from leaving the page for a file that was dropped where nothing takes it. */
export function useNoStrayDrops() {
  useEffect(() => {
    const keep = (e: DragEvent) => {
      if (e.defaultPrevented || !e.dataTransfer?.types.includes("Files")) return;
      e.preventDefault();
      e.dataTransfer.dropEffect = "none";
    };
    window.addEventListener("dragover", keep);
    window.addEventListener("drop", keep);
    return () => {
      window.removeEventListener("dragover", keep);
      window.removeEventListener("drop", keep);
    };
  }, []);
}
