/** Where this user's programs keep what can be made again. */
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";

/** Our folder in the user's cache folder (XDG Base Directory Specification; LOCALAPPDATA on Windows). */
export function userCacheFolder(): string {
  const named = process.env[process.platform === "win32" ? "LOCALAPPDATA" : "XDG_CACHE_HOME"] ?? "";
  return join(isAbsolute(named) ? named : join(homedir(), ".cache"), "mini-giants");
}
