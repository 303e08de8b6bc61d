/* What the routes that the panels use answer with. */

/** A file, folder or link of GET /api/files/{id}. */
export interface Node {
  name: string;
  type: "file" | "directory" | "symlink" | "other";
  /** Relative to the workspace; bytes that are no UTF-8 show as U+FFFD. */
  path: string;
  /** base64 of the path's bytes, only when they are no UTF-8. */
  path_bytes?: string;
  /** In bytes, of files. */
  size: number;
  modified?: string;
  target?: string;
  children?: Node[] | null;
}

export interface Tree { root: string; tree: Node | null; total_files: number; truncated?: boolean }

/** What GET /api/files/{id}/{path} answers for anything that is no image. */
export interface Preview {
  type: "text" | "image" | "binary";
  path: string;
  content?: string;
  language?: string;
  lines?: number;
  encoding?: string;
  media_type: string;
  size_bytes: number;
  modified?: string;
  modified_at?: string;
  truncated?: boolean;
  /** Without quotes. */
  etag?: string;
}

export interface Written { path: string; size_bytes: number; etag: string; modified_at: string }

export type ChangeStatus = "added" | "modified" | "deleted";

export interface Change { path: string; path_bytes?: string; status: ChangeStatus; size_bytes: number; additions?: number; deletions?: number; binary: boolean }

export interface Changes { since: string; changes: Change[] | null; total: number; truncated: boolean }

export interface FileChange { path: string; status: ChangeStatus | "unchanged"; before: string | null; after: string | null; binary: boolean; truncated: boolean }

/** One measurement of GET /api/agents/{id}/resources. A limit of 0 is none. */
export interface Resources {
  session_id: string;
  running: boolean;
  time: string;
  source?: string;
  cpu: { percent: number; count: number; limit: number };
  memory: { used_bytes: number; limit_bytes: number; percent: number };
  disk: { used_bytes: number; limit_bytes: number; percent: number };
  pids: { used: number; limit: number };
  network: { rx_bytes: number | null; tx_bytes: number | null };
  oom_kills: number | null;
}

export interface LogLine { time: string | null; stream: "stdout" | "stderr"; text: string }

export interface Logs { session_id: string; running: boolean; lines: LogLine[] | null }

export interface Ticket { terminal: string; ticket: string; expires_at: string }

/** GET /api/agents/sessions/{id}, as far as the panels show it. */
export interface Session {
  session_id: string;
  agent_id: string;
  config_id: string;
  name?: string;
  title?: string;
  status: string;
  activity?: string;
  reason?: string;
  provider: string;
  start?: string;
  start_reason?: string;
  created_at: string;
  last_active: string;
  idle_expires_at?: string;
  turn?: number;
  turns?: number;
  cost_usd?: number;
  usage?: Record<string, unknown>;
  limits?: Record<string, unknown>;
  policies?: { name: string; digest: string; params?: unknown }[] | null;
  config?: Record<string, unknown>;
}
