import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { GiantError } from "../base/errors.ts";
import { recoverAbandoned } from "./abandoned.ts";
import { createFileAtomic, openLineAppender, replaceFolderAtomic, writeFileAtomic } from "./atomic.ts";
import { fileError } from "./file-error.ts";

/** A process id that no process has: above Linux's and macOS's limits. */
const DEAD = 2 ** 22 + 12345;

describe("files", () => {
  test("are written, replaced, and given their parent folders", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "a", "b.txt");
    await writeFileAtomic(path, "one");
    await writeFileAtomic(path, Buffer.from("two"));
    expect(readFileSync(path, "utf8")).toBe("two");
    expect(readdirSync(join(folder, "a"))).toEqual(["b.txt"]);
  });

  test("stay as they were when writing fails", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "b.txt");
    await writeFileAtomic(path, "one");
    const failed = createFileAtomic(path, async (file) => {
      await file.writeFile("tw");
      throw Object.assign(new Error("no space"), { code: "ENOSPC" });
    });
    await expect(failed).rejects.toMatchObject({
      code: "file",
      message: `${path}: cannot write: the disk is full`,
      hint: expect.stringContaining("Free some space") as unknown,
    });
    expect(readFileSync(path, "utf8")).toBe("one");
    expect(readdirSync(folder)).toEqual(["b.txt"]);
  });

  test("a path through a file is refused in one line", async () => {
    const path = join(temporaryFolder(), "file");
    writeFileSync(path, "");
    await expect(writeFileAtomic(join(path, "x", "y"), "")).rejects.toMatchObject({
      code: "file",
      message: expect.stringMatching(/a part of the path is a file/) as unknown,
    });
  });

  test("a folder without write permission is refused", async (ctx) => {
    if (process.getuid?.() === 0) {
      // Root may write everywhere: the mapping itself is checked.
      expect(fileError(Object.assign(new Error(), { code: "EACCES" }), "/x", "write").message).toBe("/x: cannot write: permission denied");
      return;
    }
    const folder = temporaryFolder();
    chmodSync(folder, 0o500);
    ctx.onTestFinished(() => chmodSync(folder, 0o700));
    await expect(writeFileAtomic(join(folder, "x"), "")).rejects.toThrow(/permission denied/);
  });

  test("a read-only file system and unknown errors have one line too", () => {
    expect(fileError(Object.assign(new Error(), { code: "EROFS" }), "/x", "write").message).toBe("/x: cannot write: the file system is read-only");
    expect(fileError(new Error("odd\nthing"), "/x", "read").message).toBe("/x: cannot read: odd thing");
    const own = new GiantError("format", "own");
    expect(fileError(own, "/x", "read")).toBe(own);
  });
});

describe("folders", () => {
  test("are replaced whole, or not at all", async () => {
    const parent = temporaryFolder();
    const path = join(parent, "checkpoint");
    await replaceFolderAtomic(path, async (folder) => {
      mkdirSync(join(folder, "inner"));
      await writeFile(join(folder, "inner", "a"), "1");
    });
    await replaceFolderAtomic(path, (folder) => writeFile(join(folder, "b"), "2"));
    expect(readdirSync(path)).toEqual(["b"]);
    const failed = replaceFolderAtomic(path, async (folder) => {
      await writeFile(join(folder, "c"), "3");
      throw new GiantError("numeric", "NaN");
    });
    await expect(failed).rejects.toMatchObject({ code: "numeric" });
    expect(readdirSync(path)).toEqual(["b"]);
    expect(readdirSync(parent)).toEqual(["checkpoint"]);
  });

  test("what killed processes left is cleared away, and an old folder they had moved aside comes back", async () => {
    const parent = temporaryFolder();
    const path = join(parent, "run");
    mkdirSync(join(parent, `run.partial-${DEAD}-0`));
    mkdirSync(join(parent, `run.replaced-${DEAD}-1`));
    writeFileSync(join(parent, `run.replaced-${DEAD}-1`, "old"), "");
    mkdirSync(join(parent, `run.partial-${process.pid}-7`)); // this process lives: not ours to remove
    mkdirSync(join(parent, "run.partial"));
    await recoverAbandoned(path);
    expect(readdirSync(parent).sort()).toEqual(["run", "run.partial", `run.partial-${process.pid}-7`]);
    expect(readdirSync(path)).toEqual(["old"]);
  });
});

describe("a signal in the middle of writing", () => {
  const send = vi.spyOn(process, "kill");
  afterEach(() => send.mockReset());

  async function interrupted(folder: string): Promise<string[]> {
    let namesAfterSignal: string[] = [];
    const failed = createFileAtomic(join(folder, "file"), async () => {
      await replaceFolderAtomic(join(folder, "folder"), async () => {
        expect(readdirSync(folder)).toHaveLength(2);
        process.emit("SIGHUP", "SIGHUP");
        namesAfterSignal = readdirSync(folder);
        throw new Error("the end");
      });
    });
    await expect(failed).rejects.toThrow(/the end/);
    return namesAfterSignal;
  }

  test("removes what is half-written and ends the process by that signal", async () => {
    send.mockReturnValue(true);
    expect(await interrupted(temporaryFolder())).toEqual([]);
    expect(send).toHaveBeenCalledWith(process.pid, "SIGHUP");
    expect(process.listenerCount("SIGHUP")).toBe(0);
  });

  test("is left to another listener, who may go on", async () => {
    send.mockReturnValue(true);
    const other = vi.fn();
    process.on("SIGHUP", other);
    expect(await interrupted(temporaryFolder())).toHaveLength(2);
    process.off("SIGHUP", other);
    expect(other).toHaveBeenCalledOnce();
    expect(send).not.toHaveBeenCalled();
  });
});

describe("the line appender", () => {
  test("keeps the order of calls and cuts an unfinished line off", async () => {
    const path = join(temporaryFolder(), "new", "events.jsonl");
    const first = await openLineAppender(path);
    await Promise.all(Array.from({ length: 50 }, (_, i) => first.append(String(i))));
    await first.flush();
    await first.close();
    writeFileSync(path, `${readFileSync(path, "utf8")}{"half`);
    const second = await openLineAppender(path);
    await second.append("last");
    await second.close();
    expect(readFileSync(path, "utf8")).toBe([...Array.from({ length: 50 }, (_, i) => String(i)), "last", ""].join("\n"));
  });

  test("an unfinished line longer than a block, and nothing but an unfinished line", async () => {
    const path = join(temporaryFolder(), "events.jsonl");
    writeFileSync(path, `a\n${"b".repeat(200_000)}`);
    await (await openLineAppender(path)).close();
    expect(readFileSync(path, "utf8")).toBe("a\n");
    writeFileSync(path, "b".repeat(200_000));
    await (await openLineAppender(path)).close();
    expect(readFileSync(path, "utf8")).toBe("");
  });

  test("a full disk is said in one line", async () => {
    if (!existsSync("/dev/full")) return; // Linux's device that is always full
    const appender = await openLineAppender("/dev/full");
    await expect(appender.append("x")).rejects.toMatchObject({ code: "file", message: "/dev/full: cannot write: the disk is full" });
    await appender.close();
  });
});
