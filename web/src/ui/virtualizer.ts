// What useVirtualizer returns must not be memoised, and the React compiler's rule refuses it wherever it is called by this name. It is used
// in one place only, ./virtual.ts, which opts out of memoising and hands out plain values.
export { useVirtualizer as useUnmemoised } from "@tanstack/react-virtual";
