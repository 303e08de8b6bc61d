import type { Path } from "./path";
import type { View } from "./view";

/** What every part of the form works with. */
export interface Form {
  view: View;
  /** Changes one place of the YAML; undefined removes it. */
  edit: (path: Path, value: unknown) => void;
  /** Renames a key of a map where it stands. */
  rename: (path: Path, to: string) => void;
  /** What is wrong at a place; deep: or anywhere in it. */
  error: (path: Path, deep?: boolean) => string | undefined;
}
