import { useEffect, useSyncExternalStore } from "react";
import { useSession } from "../useSession";
import { Outbox } from "./outbox";

const boxes = new Map<string, Outbox>();

/** The one outbox of a session in this tab. */
export function outboxOf(id: string): Outbox {
  let box = boxes.get(id);
  if (!box) boxes.set(id, box = new Outbox(id));
  return box;
}

/** What waits in this tab; while mounted it sends the queue when the session is free. */
export function useOutbox(id: string) {
  const box = outboxOf(id);
  const state = useSyncExternalStore(box.subscribe, box.get);
  const running = useSession(id, (s) => s.running);
  const turn = useSession(id, (s) => s.turn);
  const lastComplete = useSession(id, (s) => s.lastComplete);
  const ready = useSession(id, (s) => s.opened && s.connection.state === "live");
  useEffect(() => {
    if (ready) box.pump({ running, turn, lastComplete });
  }, [box, state, ready, running, turn, lastComplete]);
  return { box, state, turns: { running, turn, lastComplete } };
}
