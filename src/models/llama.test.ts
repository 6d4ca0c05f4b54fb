/** Which layers of the llama family see how far, by what config.json says and what it leaves out. */
import { expect, it } from "vitest";
import { parameter } from "../core/operations.ts";
import { plainContext } from "../nn/context.ts";
import { forward } from "../nn/decoder.ts";
import { decoderInputs } from "./architecture.ts";
import { describeModel } from "./registry.ts";

const SMALL = { hidden_size: 8, intermediate_size: 16, num_attention_heads: 2, num_key_value_heads: 1, num_hidden_layers: 3, head_dim: 4, vocab_size: 10 };

/** The window of each layer. */
function windowsOf(config: Readonly<Record<string, unknown>>): (number | undefined)[] {
  const architecture = describeModel({ ...SMALL, ...config }, "config.json");
  const inputs = decoderInputs(architecture);
  const windows: (number | undefined)[] = [];
  forward(architecture.decoder, plainContext({ leaf: parameter }), {
    ...inputs,
    masks: (group, window) => (windows.push(window), inputs.masks(group, window)),
  });
  return windows;
}

const NONE = [undefined, undefined, undefined];

it.each<[string, Readonly<Record<string, unknown>>, (number | undefined)[]]>([
  ["llama has no window", { model_type: "llama", sliding_window: 5 }, NONE],
  ["mistral's window is what it says", { model_type: "mistral", sliding_window: 5 }, [5, 5, 5]],
  ["mistral's null is none", { model_type: "mistral", sliding_window: null }, NONE],
  ["mistral without a word has 4096", { model_type: "mistral" }, [4096, 4096, 4096]],
  ["qwen2 names a window and does not use it", { model_type: "qwen2", sliding_window: 5, max_window_layers: 0, use_sliding_window: false }, NONE],
  ["qwen2 uses it from a layer on", { model_type: "qwen2", sliding_window: 5, max_window_layers: 2, use_sliding_window: true }, [undefined, undefined, 5]],
  ["qwen2 uses it everywhere", { model_type: "qwen2", sliding_window: 5, max_window_layers: 0, use_sliding_window: true }, [5, 5, 5]],
  ["qwen3 has 28 layers without it by default", { model_type: "qwen3", sliding_window: 5, use_sliding_window: true }, NONE],
  [
    "layer_types say which layers",
    { model_type: "qwen3", sliding_window: 5, use_sliding_window: true, layer_types: ["sliding_attention", "full_attention", "sliding_attention"] },
    [5, undefined, 5],
  ],
])("%s", (_what, config, windows) => {
  expect(windowsOf(config)).toEqual(windows);
});
