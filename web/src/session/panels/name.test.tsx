import { cleanup, render } from "@testing-library/react";
import { afterEach, describe, expect, it } from "vitest";
import { Name, visible } from "./name";

afterEach(cleanup);

describe("names that somebody chose to deceive", () => {
  it.each([
    ["plain.txt", "plain.txt"],
    ["two\nlines", "two\\nlines"],
    ["bell\u0007 and \u009b", "bell\\x07 and \\x9b"],
    ["rtl \u202egpj.exe", "rtl \u27e8U+202E\u27e9gpj.exe"],
    ["zero\u200bwidth", "zero\u27e8U+200B\u27e9width"],
    ["line\u2028end", "line\u27e8U+2028\u27e9end"],
    ["日本語 שלום 🎉", "日本語 שלום 🎉"],
  ])("%j shows as %j", (name, shown) => { expect(visible(name)).toBe(shown); });

  it("keeps a name's direction inside and its markup as text", () => {
    const { container } = render(<Name text={"<img src=x onerror=alert(1)>\u202e"} />);
    expect(container.querySelector("bdi")).not.toBeNull();
    expect(container.querySelector("img")).toBeNull();
    expect(container.textContent).toBe("<img src=x onerror=alert(1)>\u27e8U+202E\u27e9");
  });
});
