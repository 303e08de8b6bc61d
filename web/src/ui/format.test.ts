import { describe, expect, it } from "vitest";
import { ago, bytes, dollars, duration } from "./format";

describe("figures as people read them", () => {
  it.each([[0, "0 B"], [1023, "1023 B"], [1024, "1.0 KiB"], [5 * 1024 ** 3, "5.0 GiB"]])("%d bytes", (n, said) => { expect(bytes(n)).toBe(said); });
  it.each([[12, "12 ms"], [3210, "3.2 s"], [65_000, "1 min 5 s"], [7_380_000, "2 h 3 min"], [49 * 3_600_000, "2 d 1 h"]])("%d ms", (n, said) => { expect(duration(n)).toBe(said); });
  it("never says NaN of a time that is none", () => { expect(ago(undefined)).toBe("unknown"); expect(ago("soon")).toBe("unknown"); });
  it("says how long ago", () => { expect(ago("2026-01-01T00:00:00Z", Date.parse("2026-01-01T00:01:05Z"))).toBe("1 min 5 s ago"); });
  it("keeps small sums readable", () => { expect(dollars(0.0012)).toBe("$0.0012"); expect(dollars(1.5)).toBe("$1.50"); });
});
