import { describe, expect, test } from "vitest";
import { parseRuns } from "./runs-file.ts";

describe("tables of runs", () => {
  test.each([
    ["plain", "parameters,tokens,loss\n1M,2e7,3.5\n2000000,40M,3.25\n"],
    ["with FLOPs", "Model Size,Training FLOP,loss\n1e6,1.2e14,3.5\n2e6,4.8e14,3.25\n"],
    ["semicolons, a byte order mark, blank lines and other columns", '\uFEFFrun;Loss;Tokens;Parameters\r\n"a;b";3.5;2e7;1e6\r\n\r\nc;3.25;4e7;2e6\r\n'],
    ["tokens come before FLOPs", "params\ttokens\tflops\tloss\n1e6\t2e7\t1\t3.5\n2e6\t4e7\t1\t3.25"],
  ])("%s", (_name, text) => {
    expect(parseRuns(text, "runs.csv")).toEqual([
      { parameters: 1e6, tokens: 2e7, loss: 3.5 },
      { parameters: 2e6, tokens: 4e7, loss: 3.25 },
    ]);
  });

  test("columns by other names", () => {
    const names = { parameters: "size", flops: "cost", loss: "eval" };
    expect(parseRuns("size,cost,eval\n1e6,1.2e14,3.5\n", "runs.csv", names)).toEqual([{ parameters: 1e6, tokens: 2e7, loss: 3.5 }]);
    expect(() => parseRuns("size,cost,eval\n1,1,1\n", "runs.csv", { ...names, loss: "evil" })).toThrow('--loss-column: runs.csv has no column "evil"');
  });

  test.each([
    ["", "runs.csv: it is empty"],
    ["\n\n", "runs.csv: it is empty"],
    ["parameters,tokens,loss\n", "runs.csv: it has column names and no run"],
    ["tokens,loss\n1,2\n", 'runs.csv:1: no column of parameters among "tokens", "loss"'],
    ["parameters,tokens\n1,2\n", 'runs.csv:1: no column of loss among "parameters", "tokens"'],
    ["parameters,loss\n1,2\n", 'runs.csv:1: no column of tokens or flops among "parameters", "loss"'],
    ["parameters,tokens,loss\n1,2,3\n1,many,3\n", 'runs.csv:3: column "tokens": "many" where a positive number was needed'],
    ["parameters,tokens,loss\n1,2,3\n\n1,0,3\n", 'runs.csv:4: column "tokens": "0" where a positive number was needed'],
    ["parameters,tokens,loss\n1,2,-3\n", 'runs.csv:2: column "loss": "-3" where a positive number was needed'],
    ["parameters,tokens,loss\n1,2,NaN\n", 'runs.csv:2: column "loss": "NaN" where a positive number was needed'],
    ["parameters,tokens,loss\n1,,3\n", 'runs.csv:2: column "tokens": nothing where a positive number was needed'],
    ["parameters,tokens,loss\n1,2\n", "runs.csv:2: 2 cells, 3 were needed"],
    ['parameters,tokens,loss\n1,"2,3\n', "runs.csv:"],
  ])("%j is broken, and the message says where", (text, message) => {
    expect(() => parseRuns(text, "runs.csv")).toThrow(message);
  });
});
