import { join } from "../address";
import type { Source } from "./uploads";

/** What a person chose with a file or folder picker, to be put into folder. */
export function chosen(list: Iterable<File>, folder: string): Source[] {
  return [...list].map((file) => ({ path: join(folder, file.webkitRelativePath || file.name), file }));
}

/**
 * What a person dropped, folders with all that is in them. It must be called while the drop is handled: the browser takes the items away
 * after that; what it returns comes later.
 */
export async function dropped(transfer: DataTransfer, folder: string): Promise<Source[]> {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry()).filter((e) => e !== null);
  if (entries.length === 0) return chosen(transfer.files, folder);
  const found: Source[] = [];
  for (const entry of entries) await walk(entry, folder, found);
  return found;
}

async function walk(entry: FileSystemEntry, folder: string, found: Source[]): Promise<void> {
  const path = join(folder, entry.name);
  if (entry.isFile) {
    found.push({ path, file: await new Promise<File>((ok, failed) => (entry as FileSystemFileEntry).file(ok, failed)) });
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  let empty = true;
  for (;;) {
    // A reader gives a hundred at a time, and none when there are no more.
    const some = await new Promise<FileSystemEntry[]>((ok, failed) => reader.readEntries(ok, failed));
    if (some.length === 0) break;
    empty = false;
    for (const child of some) await walk(child, path, found);
  }
  if (empty) found.push({ path });
}
