/*
 * What side panels may use of the session page.
 *
 *   const running = useSession(id, (s) => s.running);      a turn runs
 *   const turn = useSession(id, (s) => s.turn);            number of the newest turn
 *   const calls = useSession(id, (s) => s.calls);          every tool call with times, output, verdicts
 *   const todos = useSession(id, (s) => s.todos);
 *   const waiting = useSession(id, (s) => s.approvals);    approvals that wait
 *   const usage = useSession(id, (s) => s.usage);          tokens of all finished turns; s.cost in US dollars
 *   const { show } = usePanel();  show("viewer", { file })  opens a side panel
 *
 * Queries of a panel begin with ["session", id, …]. Those under ["session", id, "files"] are asked again by themselves, at most every 600 ms,
 * when tools have run; ["session", id] (the details of the session) at the end of a turn.
 */
export { useSession, useToolCall } from "./useSession";
export { useSessionDetail } from "./detail";
export { usePanel } from "./panels/usePanel";
export type { SessionState } from "./store";
export type { Approval, Conversation, Row, ToolCall } from "./conversation/model";
