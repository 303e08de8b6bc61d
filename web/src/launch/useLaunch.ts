import { useEffect, useRef, useState } from "react";
import { asProblem, type Problem } from "@/api/problem";
import type { Launched, LaunchRequest } from "@/app/types";
import { launchAgent, sendFirst, type Progress } from "./launch";

export type LaunchState =
  | { step: "idle" }
  | { step: "launching"; since: number; progress: Progress | null }
  | { step: "sending"; session: Launched; took: number }
  /** retryAt: when it is tried again by itself, in milliseconds; undefined when it is not. */
  | { step: "failed"; problem: Problem; retryAt: number | undefined }
  /** The session is there, its first message was refused. */
  | { step: "unsent"; session: Launched; problem: Problem };

const clock = () => Date.now();

/**
 * Launches an agent and sends it the first message. A host that is full (503 with Retry-After) is asked again by itself, until it is
 * cancelled; nothing else is. When what is to be launched changes, what was under way for the other is taken back.
 */
export function useLaunch(what: string, done: (session: Launched, took: number) => void) {
  const [state, setState] = useState<LaunchState>({ step: "idle" });
  const running = useRef<AbortController>(undefined);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const stop = () => {
    running.current?.abort();
    clearTimeout(timer.current);
  };
  useEffect(() => () => {
    running.current?.abort();
    clearTimeout(timer.current);
    setState({ step: "idle" });
  }, [what]);

  const start = async (body: LaunchRequest, message: string): Promise<void> => {
    stop();
    const abort = new AbortController();
    running.current = abort;
    const since = clock();
    setState({ step: "launching", since, progress: null });
    let session: Launched;
    try {
      session = await launchAgent(body, abort.signal, (progress) => setState({ step: "launching", since, progress }));
    } catch (error) {
      if (abort.signal.aborted) return;
      const problem = asProblem(error);
      const wait = problem.status === 503 ? problem.retryAfter : undefined;
      setState({ step: "failed", problem, retryAt: wait === undefined ? undefined : clock() + wait * 1000 });
      if (wait !== undefined) timer.current = setTimeout(() => void start(body, message), wait * 1000);
      return;
    }
    const took = clock() - since;
    if (message) {
      setState({ step: "sending", session, took });
      try {
        await sendFirst(session.session_id, message);
      } catch (error) {
        if (abort.signal.aborted) return;
        setState({ step: "unsent", session, problem: asProblem(error) });
        return;
      }
    }
    if (!abort.signal.aborted) done(session, took);
  };
  return {
    state,
    start: (body: LaunchRequest, message: string) => void start(body, message),
    cancel: () => { stop(); setState({ step: "idle" }); },
  };
}
