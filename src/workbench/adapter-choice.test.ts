import { expect, it } from "vitest";
import { readAdapterChoice, readAdapterChoices } from "./adapter-choice.ts";

it.each([
  ["runs/a/adapter", "runs/a/adapter", 1],
  ["a=0.7", "a", 0.7],
  ["a=-2", "a", -2],
  ["a=0", "a", 0],
  ["a=b/adapter", "a=b/adapter", 1],
  ["a=0.5/", "a=0.5/", 1],
  ["a=b=1e-1", "a=b", 0.1],
  ["C:\\x=y\\adapter", "C:\\x=y\\adapter", 1],
])("%s", (text, folder, weight) => {
  expect(readAdapterChoice(text)).toEqual({ folder, weight });
});

it.each([
  ["a=", /^--adapter a=: "" is no number, needed a weight$/],
  ["a=b", /^--adapter a=b: "b" is no number, needed a weight$/],
  ["a=Infinity", /"Infinity" is no number/],
  ["=1", /no folder stands before the =/],
])("refuses %s", (text, message) => {
  expect(() => readAdapterChoice(text)).toThrow(message);
});

it("refuses one folder twice", () => {
  expect(() => readAdapterChoices(["a=1", "b", "a=2"])).toThrow(/^--adapter a: the adapter is named twice$/);
});
