import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext { url: string }
}

/**
 * Starts one real host with the offline model for all browser tests of a run, and ends it afterwards. Its environment is clean. AGCLUSTER_URL
 * names a running host to use instead, for writing tests. AGCLUSTER_E2E_SCRIPT replaces the model's script.
 */
export default async function setup(project: TestProject) {
  if (process.env.AGCLUSTER_URL) {
    project.provide("url", process.env.AGCLUSTER_URL);
    return undefined;
  }
  const work = mkdtempSync(join(tmpdir(), "agc-web-"));
  const host = spawn(resolve("../build/bin/agcluster"), [
    "serve", "--offline", "--port", "0", "--data-dir", join(work, "data"), "--run-dir", join(work, "run"), "--log.format", "json",
  ], {
    cwd: work, stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: process.env.PATH, HOME: work, AGCLUSTER_POOL_SIZE: "0", AGCLUSTER_SESSION_APPROVAL_TIMEOUT: "1h",
      AGCLUSTER_OFFLINE_SCRIPT: process.env.AGCLUSTER_E2E_SCRIPT ?? resolve("e2e/script.yaml"),
    },
  });
  project.provide("url", await listening(host));
  return async () => {
    const ended = new Promise((done) => host.once("exit", done));
    host.kill("SIGTERM");
    await ended;
    rmSync(work, { recursive: true, force: true });
  };
}

/** Resolves with the host's address once it says that it listens; rejects with what it said when it ends instead. */
function listening(host: ChildProcess): Promise<string> {
  return new Promise((found, failed) => {
    let said = "";
    const read = (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-20_000);
      const url = /"listening".*?"url":"([^"]+)"/.exec(said)?.[1];
      if (url) found(url);
    };
    host.stdout?.on("data", read);
    host.stderr?.on("data", read);
    host.once("error", failed);
    host.once("exit", () => { failed(new Error(`the host ended: ${said}`)); });
  });
}
