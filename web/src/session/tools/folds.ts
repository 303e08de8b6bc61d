import { useState } from "react";

// What a person opened or closed is remembered for as long as the page is there: rows that scroll away are unmounted.
const folds = new Map<string, boolean>();

/** Whether something is open, and a way to change that. */
export function useFold(key: string, initial: boolean): [boolean, () => void] {
  const [chosen, setChosen] = useState(folds.get(key));
  const open = chosen ?? initial;
  return [open, () => { folds.set(key, !open); setChosen(!open); }];
}
