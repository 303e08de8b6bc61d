import { inflateRawSync } from "node:zlib";

/** The files of a zip archive by name, as its central directory lists them; folders are left out. It knows stored and deflated entries. */
export function unzip(archive: Buffer): Map<string, Buffer> {
  const end = archive.lastIndexOf(Buffer.from([0x50, 0x4b, 5, 6]));
  if (end < 0) throw new Error("this is no zip archive: it has no end of the central directory");
  const files = new Map<string, Buffer>();
  let at = archive.readUInt32LE(end + 16);
  for (let n = archive.readUInt16LE(end + 10); n > 0; n--) {
    if (archive.readUInt32LE(at) !== 0x02014b50) throw new Error(`the central directory is broken at byte ${at}`);
    const method = archive.readUInt16LE(at + 10);
    const packed = archive.readUInt32LE(at + 20), size = archive.readUInt32LE(at + 24), begin = archive.readUInt32LE(at + 42);
    const [name, extra, comment] = [28, 30, 32].map((o) => archive.readUInt16LE(at + o)) as [number, number, number];
    const path = archive.subarray(at + 46, at + 46 + name).toString();
    const data = begin + 30 + archive.readUInt16LE(begin + 26) + archive.readUInt16LE(begin + 28);
    const bytes = archive.subarray(data, data + packed);
    if (!path.endsWith("/")) {
      if (method !== 0 && method !== 8) throw new Error(`${path} is packed by method ${method}`);
      const content = method === 8 ? inflateRawSync(bytes) : bytes;
      if (content.length !== size) throw new Error(`${path} has ${content.length} bytes and says ${size}`);
      files.set(path, content);
    }
    at += 46 + name + extra + comment;
  }
  return files;
}
