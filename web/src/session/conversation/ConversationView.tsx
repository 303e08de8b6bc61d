import { ArrowDown, MessageSquareText } from "lucide-react";
import { memo, type ReactNode, type RefObject, useDeferredValue, useEffect, useLayoutEffect, useRef, useState } from "react";
import { Button } from "@/ui/button";
import { Empty } from "@/ui/empty";
import { Skeleton } from "@/ui/skeleton";
import { storeOf, useSession } from "../useSession";
import type { Row } from "./model";
import { useNear } from "./near";
import { RowView } from "./Thread";

/** Rows that come and go together. */
const chunkSize = 8;
/** How many of the last rows are drawn before it is known what is in sight: they fill a screen. */
const lateRows = 12;
/** What a row is guessed to be high, in pixels, before it was there. */
const guess = 72;
/** The distance from the end, in pixels, within which the view stays at the end. */
const slack = 48;

/**
 * The conversation. Rows near the visible part are there, chunk by chunk; the others are held by their height. It stays at its end until a
 * person scrolls up, and then says how to get back. footer follows the last row.
 *
 * Rows are drawn in the background: what a person types or clicks meanwhile goes first. The store brings the next ones when these are drawn.
 * Only the history is drawn in one go, because that is what a person waits for.
 */
export function ConversationView({ sessionId, footer }: { sessionId: string; footer: ReactNode }) {
  const newest = useSession(sessionId, (s) => s.rows);
  const opened = useSession(sessionId, (s) => s.opened);
  const drawnLater = useDeferredValue(newest);
  const openedBefore = useDeferredValue(opened);
  const rows = opened && !openedBefore ? newest : drawnLater;
  const { scroller, content, pinned, toEnd } = usePinned();
  useLayoutEffect(() => storeOf(sessionId).draws(), [sessionId]);
  useLayoutEffect(() => { storeOf(sessionId).drawn(rows); }, [sessionId, rows]);

  return (
    <div className="relative min-h-0 flex-1">
      <div ref={scroller} className="h-full overflow-y-auto [overflow-anchor:auto]">
        <div ref={content} className="mx-auto flex min-h-full max-w-4xl flex-col gap-3 px-3 py-4 sm:px-5" role="log" aria-live="off" aria-label="Conversation" aria-busy={!opened}>
          {opened || rows.length > 0 ? null : <Opening />}
          {opened && rows.length === 0 ? (
            <Empty icon={MessageSquareText} title="Nothing was said yet">Write what the agent should do. <kbd>/</kbd> lists its commands, <kbd>@</kbd> names a file.</Empty>
          ) : null}
          <Chunks sessionId={sessionId} rows={rows} root={scroller} />
          {footer}
        </div>
      </div>
      {pinned ? null : (
        <Button small onClick={toEnd} className="absolute bottom-3 left-1/2 -translate-x-1/2 rounded-full shadow-lg"><ArrowDown size={14} aria-hidden />Jump to latest</Button>
      )}
    </div>
  );
}

const Chunks = memo(function Chunks({ sessionId, rows, root }: { sessionId: string; rows: readonly Row[]; root: RefObject<HTMLDivElement | null> }) {
  const chunks: Row[][] = [];
  for (let i = 0; i < rows.length; i += chunkSize) chunks.push(rows.slice(i, i + chunkSize));
  return <>{chunks.map((chunk, i) => <Chunk key={i} sessionId={sessionId} rows={chunk} root={root} late={(i + 1) * chunkSize > rows.length - lateRows} />)}</>;
});

const Chunk = memo(function Chunk({ sessionId, rows, root, late }: { sessionId: string; rows: readonly Row[]; root: RefObject<HTMLDivElement | null>; late: boolean }) {
  const own = useRef<HTMLDivElement>(null);
  const { near, height } = useNear(root, own, late);
  return (
    <div ref={own} className="flex flex-col gap-3" style={near ? undefined : { height: height || rows.length * guess }}>
      {near ? rows.map((row) => <RowView key={row.key} sessionId={sessionId} row={row} />) : null}
    </div>
  );
}, (a, b) => a.sessionId === b.sessionId && a.late === b.late && a.rows.length === b.rows.length && a.rows.every((row, i) => row === b.rows[i]));

/** Keeps what scrolls at its end while its content grows, until a person scrolls up. */
function usePinned() {
  const scroller = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const [pinned, setPinned] = useState(true);
  const stay = useRef(true);
  const toEnd = () => {
    stay.current = true;
    setPinned(true);
    scroller.current?.scrollTo({ top: scroller.current.scrollHeight });
  };

  useEffect(() => {
    const el = scroller.current;
    const inner = content.current;
    if (!el || !inner) return undefined;
    let top = 0; // as it is when this was just made; to ask would lay out the page before it is whole
    const scrolled = () => {
      const rest = el.scrollHeight - el.scrollTop - el.clientHeight;
      // Growth moves the end away from the view, not the view: only a way up lets go.
      if (rest <= slack) stay.current = true;
      else if (el.scrollTop < top - 1) stay.current = false;
      top = el.scrollTop;
      setPinned(stay.current);
    };
    const grown = new ResizeObserver(() => {
      if (stay.current) el.scrollTo({ top: el.scrollHeight });
    });
    el.addEventListener("scroll", scrolled, { passive: true });
    grown.observe(inner);
    grown.observe(el);
    return () => { el.removeEventListener("scroll", scrolled); grown.disconnect(); };
  }, []);
  return { scroller, content, pinned, toEnd };
}

function Opening() {
  return (
    <div aria-hidden className="flex flex-col gap-3">
      <Skeleton className="h-9 w-full" /><Skeleton className="h-4 w-3/4" /><Skeleton className="h-4 w-1/2" /><Skeleton className="h-24 w-full" />
    </div>
  );
}
