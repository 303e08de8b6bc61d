import { Maximize, ZoomIn, ZoomOut } from "lucide-react";
import { useEffect, useState } from "react";
import { Button, IconButton } from "@/ui/button";
import { Notice } from "@/ui/notice";
import { Scroll } from "@/ui/scroll";

const steps = [0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 8, 16];

/** A picture, by the address of a blob: as an <img> it can run no script and fetch nothing, also when it is an SVG. */
export default function ImageView({ blob, alt }: { blob: Blob; alt: string }) {
  const [url, setUrl] = useState<string>();
  const [size, setSize] = useState<[number, number]>();
  const [zoom, setZoom] = useState<number>();
  const [broken, setBroken] = useState(false);
  useEffect(() => {
    const made = URL.createObjectURL(blob);
    // Not set in the effect itself, which would draw twice.
    queueMicrotask(() => { setUrl(made); setBroken(false); });
    return () => URL.revokeObjectURL(made);
  }, [blob]);
  if (broken) return <Notice tone="warn" className="m-3">The browser can&apos;t show this picture. It can be downloaded.</Notice>;
  const now = zoom ?? 1;
  return (
    <div className="flex h-full flex-col">
      <div className="flex shrink-0 items-center gap-1 border-b border-line px-2 py-1 text-xs text-ink-2">
        <IconButton small label="Zoom out" disabled={now <= (steps[0] ?? 0)} onClick={() => setZoom(steps.findLast((s) => s < now) ?? now)}><ZoomOut size={15} /></IconButton>
        <Button small look="quiet" onClick={() => setZoom(1)} aria-label="Zoom to 100 %">{zoom === undefined ? "Fit" : `${Math.round(zoom * 100)} %`}</Button>
        <IconButton small label="Zoom in" disabled={now >= (steps.at(-1) ?? 0)} onClick={() => setZoom(steps.find((s) => s > now) ?? now)}><ZoomIn size={15} /></IconButton>
        <IconButton small label="Fit" onClick={() => setZoom(undefined)}><Maximize size={15} /></IconButton>
        {size ? <span className="ml-auto tabular-nums">{size[0]} × {size[1]} px</span> : null}
      </div>
      <Scroll label="Picture" className="min-h-0 flex-1 bg-sunken p-3">
        {url ? (
          <img
            src={url} alt={alt} onError={() => setBroken(true)} onLoad={(e) => setSize([e.currentTarget.naturalWidth, e.currentTarget.naturalHeight])}
            className={zoom === undefined ? "m-auto max-h-full max-w-full object-contain" : "max-w-none"}
            style={zoom === undefined || !size ? undefined : { width: Math.max(1, size[0] * zoom), imageRendering: zoom >= 4 ? "pixelated" : "auto" }}
          />
        ) : null}
      </Scroll>
    </div>
  );
}
