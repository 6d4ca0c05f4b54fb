/** Runs a program of Node's and hears what it says. */
import { spawn } from "node:child_process";

export interface Finished {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs `node ARGS` in `cwd` with `input` on its standard input. */
export async function runNode(args: readonly string[], cwd: string, input = ""): Promise<Finished> {
  const child = spawn(process.execPath, args, { cwd, stdio: "pipe" });
  let out = "";
  let err = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
  child.stdin.on("error", () => undefined); // a program may end before it has read its input
  child.stdin.end(input);
  return await new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, out, err }));
  });
}
