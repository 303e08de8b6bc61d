import { useEffect, useRef } from "react";
import UPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { useDark } from "@/app/theme";

export interface ChartProps {
  /** Seconds since 1970, rising. */
  times: readonly number[];
  values: readonly number[];
  /** Drawn as a line; 0 is none. */
  limit: number;
  format: (value: number) => string;
}

/** A time in seconds since 1970, as the clock shows it. */
function clock(time: number): string { return new Date(time * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }); }

/** A value over time with its limit as a line. It says nothing to a screen reader: who draws it gives the figures in words. */
export default function Chart({ times, values, limit, format }: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<UPlot>(null);
  const shown = useRef(format);
  const dark = useDark();
  const limited = limit > 0;

  useEffect(() => {
    const parent = box.current;
    if (!parent) return undefined;
    const style = getComputedStyle(parent);
    const color = (name: string) => style.getPropertyValue(name).trim();
    const axis = { stroke: color("--ink-3"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    const made = new UPlot({
      width: parent.clientWidth, height: 130, cursor: { y: false, drag: { x: false, y: false } }, legend: { show: false }, padding: [8, 8, 0, 0],
      // Never less than two minutes wide, so that the first measurements don't stretch over all of it.
      scales: { x: { range: (_u, min, max) => { const end = Number.isFinite(max) && max > 0 ? max : Date.now() / 1000; return [Math.min(min || end, end - 120), end]; } }, y: { range: (_u, _min, max) => [0, Math.max(max * 1.1, 1e-9)] } },
      axes: [{ ...axis, size: 24, space: 70, values: (_u, ticks) => ticks.map(clock) }, { ...axis, size: 62, space: 34, values: (_u, ticks) => ticks.map((v) => shown.current(v)) }],
      series: [
        {},
        { stroke: color("--accent"), width: 1.5, fill: `color-mix(in srgb, ${color("--accent")} 14%, transparent)`, points: { show: false } },
        ...(limited ? [{ stroke: color("--bad"), width: 1, dash: [5, 4], points: { show: false } }] : []),
      ],
    }, [[], [], ...(limited ? [[]] : [])], parent);
    plot.current = made;
    const size = new ResizeObserver(() => made.setSize({ width: parent.clientWidth, height: 130 }));
    size.observe(parent);
    return () => { size.disconnect(); made.destroy(); plot.current = null; };
  }, [dark, limited]);

  useEffect(() => {
    shown.current = format;
    plot.current?.setData([[...times], [...values], ...(limited ? [times.map(() => limit)] : [])]);
  }, [times, values, limit, limited, format, dark]);

  return <div ref={box} aria-hidden className="h-[130px] w-full overflow-hidden" />;
}
