/** An answer of problem+json (RFC 9457), or the failure to get one (status 0: the host is away). */
export class Problem extends Error {
  readonly status: number;
  readonly detail: string;
  readonly errors: { message?: string; location?: string; value?: unknown }[];
  /** Seconds after which the host asks to try again; undefined when it does not ask. */
  readonly retryAfter: number | undefined;

  constructor(status: number, detail: string, errors: Problem["errors"] = [], retryAfter?: number) {
    super(errors.length ? `${detail}: ${errors.map((e) => [e.location, e.message].filter(Boolean).join(": ")).join("; ")}` : detail);
    this.name = "Problem";
    this.status = status;
    this.detail = detail;
    this.errors = errors;
    this.retryAfter = retryAfter;
  }
}

interface Body { title?: string; detail?: string; status?: number; errors?: Problem["errors"] }

/** The problem that a failed answer tells of. */
export async function problemOf(response: Response): Promise<Problem> {
  let body: Body = {};
  try { body = (await response.json()) as Body; } catch { /* no problem+json: the status must do */ }
  const after = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  return new Problem(response.status, body.detail ?? body.title ?? `The host answered ${response.status}`, body.errors ?? [], Number.isNaN(after) ? undefined : after);
}

export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  return new Problem(0, error instanceof Error ? error.message : String(error));
}
