/** Questions and answers that a very small model can learn in a minute, as chat messages. */
import type { Random } from "../../src/base/random.ts";

const NAMES = [
  "Ada",
  "Ben",
  "Cleo",
  "Dan",
  "Eva",
  "Finn",
  "Gus",
  "Hana",
  "Ivo",
  "Jane",
  "Kim",
  "Leo",
  "Mia",
  "Noor",
  "Otto",
  "Pia",
  "Quin",
  "Rosa",
  "Sam",
  "Tess",
  "Uma",
  "Vito",
  "Wim",
  "Xena",
  "Yara",
  "Zoe",
];

const ANIMALS: readonly (readonly [animal: string, sound: string])[] = [
  ["cat", "Meow"],
  ["dog", "Woof"],
  ["cow", "Moo"],
  ["duck", "Quack"],
  ["sheep", "Baa"],
  ["owl", "Hoo"],
  ["pig", "Oink"],
  ["bee", "Buzz"],
];

const COLOURS: readonly (readonly [thing: string, colour: string])[] = [
  ["grass", "green"],
  ["snow", "white"],
  ["coal", "black"],
  ["the sky", "blue"],
  ["a lemon", "yellow"],
  ["a rose", "red"],
];

/** One example: what the user says and what the assistant answers. */
export interface Exchange {
  readonly user: string;
  readonly assistant: string;
}

/** All exchanges, shuffled: every pattern with every name, so that held-out ones are new sentences of known kinds. */
export function exchanges(random: Random): Exchange[] {
  const all: Exchange[] = [];
  for (const name of NAMES) {
    for (const [animal, sound] of ANIMALS) all.push({ user: `${name} has a ${animal}. What does it say?`, assistant: `${sound}!` });
    for (const [thing, colour] of COLOURS) all.push({ user: `${name} asks: what colour is ${thing}?`, assistant: `It is ${colour}.` });
  }
  return random.shuffle(all);
}
