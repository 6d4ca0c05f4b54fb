#!/usr/bin/env node
/** The program: connects the process (arguments, signals, streams, exit code) with the command line. */
import { createRequire } from "node:module";
import { fileError } from "../io/file-error.ts";
import { processOutput } from "./output.ts";
import { runCli } from "./run.ts";

const output = processOutput();
const controller = new AbortController();

function interrupt(): void {
  // The second time the user means it: nothing half-written remains, since files are renamed into place.
  if (controller.signal.aborted) {
    if (output.live) output.err("\u001b[?25h\u001b[?7h"); // a progress bar hides the cursor and keeps lines from wrapping
    process.exit(130);
  }
  output.err("\nfinishing what is under way; press Ctrl-C again to stop at once\n");
  controller.abort();
}
process.on("SIGINT", interrupt);
process.on("SIGTERM", interrupt);

// `mini-giants generate … | head` closes our output early: that is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  const { message, hint } = fileError(error, "standard output", "write");
  output.err(`error: ${message}\n${hint === undefined ? "" : `hint: ${hint}\n`}`);
  process.exit(1);
});

/** The package's version; its manifest lies two folders up, both in the sources and in what is published. */
function version(): string {
  return (createRequire(import.meta.url)("../../package.json") as { readonly version: string }).version;
}

process.exitCode = await runCli(process.argv.slice(2), { output, input: process.stdin, signal: controller.signal }, version);
