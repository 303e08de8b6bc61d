import type { Session } from "@/app/types";
import { titleOf } from "./list";

/** What has come about that a person may wait for. */
export interface News { id: string; title: string; text: string }

/** What is new in a list of sessions since an older one: approvals that are asked for, turns that ended. A session that is new itself is no news. */
export function newsOf(before: readonly Session[], now: readonly Session[]): News[] {
  const old = new Map(before.map((s) => [s.session_id, s]));
  return now.flatMap((s) => {
    const was = old.get(s.session_id);
    if (!was) return [];
    const tell = (text: string) => [{ id: s.session_id, title: titleOf(s), text }];
    if (s.waiting > was.waiting) return tell("Waits for your approval.");
    if (was.turn_running && !s.turn_running) return tell(s.last_line ? `The turn ended: ${s.last_line}` : "The turn ended.");
    // A turn that began and ended between the two lists.
    if (!s.turn_running && s.turn > was.turn) return tell(s.last_line ? `The turn ended: ${s.last_line}` : "The turn ended.");
    return [];
  });
}
