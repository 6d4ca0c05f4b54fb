/**
 * Prompt tuning (Lester et al. 2021, arXiv 2104.08691): P trained embeddings in front of those of every text.
 *
 *   input = [E_prompt; E_text],  E_prompt [P, C]
 *
 * Virtual tokens have the ids V, V + 1, …, V + P − 1: they stand in front of the tokens of every example and prompt, so
 * that positions, masks, packing and caches need no rule of their own. Only the embedding knows them apart.
 */
import { gather, integer, lessOrEqual, reshape, sub, where } from "../core/operations.ts";
import { extendContext } from "../nn/context.ts";
import type { BaseModel } from "../nn/decoder.ts";
import type { Inventory } from "../nn/inventory.ts";
import type { AdaptationMethod, Initial } from "./method.ts";
import { PROMPT_EMBEDDINGS } from "./prefix.ts";
import { type PromptTuningConfig, writePromptTuningConfig } from "./prompt-tuning-config.ts";

type Base = Pick<BaseModel, "hiddenSize" | "vocabSize" | "numHiddenLayers" | "numAttentionHeads">;

/** @param textTokens the tokens of the text it starts as; without them only shapes are right. */
export function promptTuning(config: PromptTuningConfig, inventory: Inventory, base: Base, textTokens: readonly number[] = []): AdaptationMethod {
  const { numVirtualTokens: P } = config;
  const { vocabSize: V, hiddenSize: C } = base;
  const { path: embedding } = inventory.embeddings[0]!;
  return {
    name: "prompt",
    tensors: new Map([[PROMPT_EMBEDDINGS, { shape: [P, C], initial: initialOf(config, `${embedding}.weight`, textTokens), trained: true }]]),
    replacement: () => undefined,
    virtualTokens: P,
    context: (inner, tensor) =>
      extendContext(inner, {
        embedding(path, ids, spec) {
          if (path !== embedding) return inner.embedding(path, ids, spec);
          // Both tables are asked with ids that they have, and `where` takes of each what is its own.
          const isVirtual = lessOrEqual(integer(V), ids);
          const text = inner.embedding(path, where(isVirtual, integer(0), ids), spec);
          const virtual = gather(tensor(PROMPT_EMBEDDINGS), where(isVirtual, sub(ids, integer(V)), integer(0)));
          return where(reshape(isVirtual, [...ids.shape, 1]), virtual, text);
        },
      }),
    merging: { possible: false, reason: "embeddings in front of every text are no change of the base's weights" },
    layout: { weightsFile: "adapter_model.safetensors", config: (name) => writePromptTuningConfig(config, name, base) },
  };
}

/** As PEFT starts them; a text of fewer tokens is repeated, one of more is cut. */
function initialOf({ init, numVirtualTokens: P }: PromptTuningConfig, table: string, text: readonly number[]): Initial {
  if (init === "SAMPLE_VOCAB") return { kind: "randomRows", parameter: table };
  if (init === "TEXT") return { kind: "rows", parameter: table, rows: text.length === 0 ? [] : Array.from({ length: P }, (_, i) => text[i % text.length]!) };
  return { kind: "normal", deviation: 1 };
}
