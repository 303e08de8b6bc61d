import { describe, expect, it } from "vitest";
import { fileUrl, folderOf, keyOf, pathOf } from "./address";
import { fileName } from "./transfer";

describe("how a file is addressed", () => {
  it.each([
    ["src/main.go", "/api/files/conv-1/src%2Fmain.go"],
    ["folder/download", "/api/files/conv-1/folder%2Fdownload"],
    ['a "b"?#%.txt', "/api/files/conv-1/a%20%22b%22%3F%23%25.txt"],
    ["new\nline", "/api/files/conv-1/new%0Aline"],
  ])("%j is one segment", (path, url) => { expect(fileUrl("conv-1", path)).toBe(url); });

  it("addresses a name that is no UTF-8 by its bytes", () => {
    const key = keyOf({ path: "caf\ufffd.txt", path_bytes: btoa("caf\xe9.txt") });
    expect(fileUrl("s", key)).toBe("/api/files/s/%63%61%66%e9%2e%74%78%74");
    expect(pathOf(key)).toBe("caf\ufffd.txt");
  });

  it("knows the folder of a path", () => { expect([folderOf("a/b/c"), folderOf("c"), folderOf("")]).toEqual(["a/b", "", ""]); });
});

describe("the name of a download", () => {
  it.each([
    ['attachment; filename="a b.zip"', "a b.zip"],
    ["attachment; filename=plain.zip", "plain.zip"],
    ['attachment; filename="q\\"uote.txt"', 'q"uote.txt'],
    ["attachment; filename*=utf-8''caf%C3%A9.txt", "café.txt"],
    ["attachment; filename*=utf-8''%ff", ""],
    ["", ""],
  ])("%j gives %j", (header, name) => { expect(fileName(header)).toBe(name); });
});
