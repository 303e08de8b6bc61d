const units = ["B", "KiB", "MiB", "GiB", "TiB"];

/** Bytes in binary units, with one digit behind the point from KiB up. */
export function bytes(n: number): string {
  let i = 0;
  while (n >= 1024 && i < units.length - 1) { n /= 1024; i++; }
  return `${i === 0 ? n : n.toFixed(1)} ${units[i] ?? "B"}`;
}

/** A duration in milliseconds as people say it: 480 ms, 3.2 s, 4 min 5 s, 2 h 3 min. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  const s = ms / 1000;
  if (s < 60) return `${s.toFixed(s < 10 ? 1 : 0)} s`;
  const m = Math.floor(s / 60);
  if (m < 60) return `${m} min ${Math.floor(s % 60)} s`;
  const h = Math.floor(m / 60);
  return h < 48 ? `${h} h ${m % 60} min` : `${Math.floor(h / 24)} d ${h % 24} h`;
}

// Making a formatter takes longer than drawing a row, and a method such as toLocaleString makes one for every call. So each is made once,
// when it is needed.
let moment: Intl.DateTimeFormat | undefined;
let time: Intl.DateTimeFormat | undefined;
let number: Intl.NumberFormat | undefined;

/** Date and time, to the second, as the browser's language has it; at is in milliseconds since 1970. "" for what is none. */
export function dateTime(at: number): string { return Number.isFinite(at) ? (moment ??= new Intl.DateTimeFormat([], { dateStyle: "medium", timeStyle: "medium" })).format(at) : ""; }

/** The time of day, to the second, from 0 to 23 h. */
export function timeOfDay(at: number): string { return Number.isFinite(at) ? (time ??= new Intl.DateTimeFormat([], { timeStyle: "medium", hourCycle: "h23" })).format(at) : ""; }

/** A whole number with the language's separators. */
export function count(n: number): string { return (number ??= new Intl.NumberFormat()).format(n); }

/** How long ago an RFC 3339 time was; "unknown" for what is none. */
export function ago(time: string | undefined, now = Date.now()): string {
  const at = Date.parse(time ?? "");
  if (Number.isNaN(at)) return "unknown";
  const gone = now - at;
  return gone < 10_000 ? "just now" : `${duration(gone)} ago`;
}

/** US dollars; more digits for small sums. */
export function dollars(n: number): string { return n === 0 ? "$0" : n < 0.01 ? `$${n.toFixed(4)}` : `$${n.toFixed(2)}`; }
