/** Runs a command with no route out and with every socket watched, and says where it tried to connect to. */
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface WatchOptions {
  /** Variables beside those of this process. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** The command is ended after this time, which is no failure: some jobs only idle. */
  readonly seconds: number;
}

export interface WatchedRun {
  /** The command's exit code; undefined when its time was up. */
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
  /** System calls that named an internet address or a name service. */
  readonly attempts: readonly string[];
}

const WATCHED_CALLS = "connect,sendto,sendmsg,sendmmsg,bind";

/** An internet address, or the socket of a service that looks names up. */
const OUTWARD = /sa_family=AF_INET6?\b|\/run\/systemd\/resolve\//;

/** A local server's own address, and the address a lookup without network binds to. */
const LISTENING = /\bbind\(/;

/** Runs the command under strace, in a network namespace without any route where the system allows one. */
export async function watchNetwork(command: string, args: readonly string[], options: WatchOptions): Promise<WatchedRun> {
  requireStrace();
  const folder = mkdtempSync(join(tmpdir(), "network-"));
  const log = join(folder, "calls");
  try {
    const strace = ["strace", "-f", "-qq", "-e", "signal=none", "-e", `trace=${WATCHED_CALLS}`, "-o", log, command, ...args];
    const run = await runFor([...namespaceCommand(), ...strace], options);
    const calls = readFileSync(log, "utf8").split("\n");
    return { ...run, attempts: calls.filter((call) => OUTWARD.test(call) && !LISTENING.test(call)) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/**
 * Runs the command and throws when it tried to reach anything outside, or ended with an error.
 * @returns its output, for further checks.
 */
export async function assertNoOutwardTraffic(command: string, args: readonly string[], options: WatchOptions): Promise<WatchedRun> {
  const run = await watchNetwork(command, args, options);
  if (run.attempts.length > 0) {
    throw new Error(`${command} ${args.join(" ")} tried to reach the network ${run.attempts.length} times:\n${run.attempts.slice(0, 10).join("\n")}`);
  }
  if (run.exitCode !== undefined && run.exitCode !== 0) {
    throw new Error(`${command} ${args.join(" ")} ended with exit code ${run.exitCode}:\n${run.stderr.slice(-2000)}`);
  }
  return run;
}

function requireStrace(): void {
  if (!works(["strace", "-f", "-o", "/dev/null", "true"])) {
    throw new Error("watching the network needs Linux with strace, allowed to trace (apt-get install strace; in a container: --cap-add SYS_PTRACE)");
  }
}

/** The command that starts another one without any network: as root, or as root of a namespace of our own. */
function namespaceCommand(): string[] {
  const ways = [
    ["unshare", "--net"],
    ["unshare", "--map-root-user", "--net"],
  ];
  return ways.find((way) => works([...way, "true"])) ?? [];
}

function works([command, ...args]: readonly string[]): boolean {
  try {
    execFileSync(command!, args, { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

async function runFor([command, ...args]: readonly string[], options: WatchOptions): Promise<Omit<WatchedRun, "attempts">> {
  const child = spawn(command!, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true, // a process group of its own, so that strace and what it traces end together
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  let timeUp = false;
  const timer = setTimeout(() => {
    timeUp = true;
    process.kill(-child.pid!, "SIGKILL");
  }, options.seconds * 1000);
  const code = await new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (exitCode) => resolve(exitCode ?? 1));
  });
  clearTimeout(timer);
  return { exitCode: timeUp ? undefined : code, stdout, stderr };
}
