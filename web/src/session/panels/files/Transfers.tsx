import { X } from "lucide-react";
import type { ReactNode } from "react";
import { Button, IconButton } from "@/ui/button";
import { bytes } from "@/ui/format";
import { visible } from "../name";
import type { Progress, Uploads } from "./uploads";

/** A transfer under way: a bar when its size is known, else how much has come. */
export function Bar({ label, value, total, children }: { label: string; value: number; total: number; children: ReactNode }) {
  const percent = total > 0 ? Math.min(100, Math.round((100 * value) / total)) : undefined;
  return (
    <div className="flex flex-col gap-1 border-t border-line bg-surface px-3 py-2 text-xs">
      <div className="flex items-center gap-2">{children}</div>
      <div
        role="progressbar" aria-label={label} aria-valuemin={0} aria-valuemax={100} {...(percent === undefined ? { "aria-valuetext": bytes(value) } : { "aria-valuenow": percent })}
        className="h-1 overflow-hidden rounded-full bg-line"
      >
        <div className={percent === undefined ? "h-full w-1/3 animate-pulse rounded-full bg-accent" : "h-full rounded-full bg-accent transition-[width]"} style={percent === undefined ? undefined : { width: `${percent}%` }} />
      </div>
    </div>
  );
}

/** What the uploads of a session are doing, until somebody closes it. */
export function UploadBar({ progress: p, uploads }: { progress: Progress; uploads: Uploads }) {
  if (p.total === 0) return null;
  const skipped = p.ended - p.done - p.failed.length;
  return (
    <section aria-label="Uploads">
      {p.failed.length > 0 ? (
        <ul role="alert" className="max-h-32 overflow-auto border-t border-line bg-bad-soft px-3 py-2 text-xs text-bad">
          {p.failed.slice(0, 50).map((u) => <li key={u.path} className="break-words">{visible(u.path)}: {u.error}</li>)}
          {p.failed.length > 50 ? <li>and {p.failed.length - 50} more</li> : null}
        </ul>
      ) : null}
      <Bar label="Upload" value={p.bytes > 0 ? p.sent : p.ended} total={p.bytes > 0 ? p.bytes : p.total}>
        <span role="status" className="min-w-0 flex-1 truncate">
          {p.running ? "Uploading" : "Uploaded"} {p.done} of {p.total} {p.total === 1 ? "file" : "files"}, {bytes(p.sent)} of {bytes(p.bytes)}
          {skipped > 0 ? `, ${skipped} skipped` : ""}{p.failed.length > 0 ? `, ${p.failed.length} failed` : ""}
        </span>
        {p.running ? <Button small onClick={() => uploads.cancel()}>Cancel</Button> : <IconButton small label="Close" onClick={() => uploads.clear()}><X size={14} /></IconButton>}
      </Bar>
    </section>
  );
}
