/** Writes model and adapter folders of a given shape with random weights, for benchmarks. */
import { mkdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Random } from "../src/base/random.ts";
import { type TensorToWrite, writeSafetensors } from "../src/io/safetensors-writer.ts";

/** The widths of a llama model; every head has `width / heads` numbers. */
export interface LlamaShape {
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly mlpWidth: number;
  readonly vocabulary: number;
}

/** HuggingFaceTB/SmolLM2-135M's shape: 134 515 008 parameters. */
export const SMOLLM2_135M: LlamaShape = { width: 576, layers: 30, heads: 9, keyValueHeads: 3, mlpWidth: 1536, vocabulary: 49152 };

const STANDARD_DEVIATION = 0.02; // transformers' initializer_range
const SEED = 20241101;

/** The linear layers of one block: name → [out, in]. */
function linearShapes(shape: LlamaShape): readonly (readonly [name: string, out: number, in_: number])[] {
  const keyValueWidth = (shape.width / shape.heads) * shape.keyValueHeads;
  return [
    ["self_attn.q_proj", shape.width, shape.width],
    ["self_attn.k_proj", keyValueWidth, shape.width],
    ["self_attn.v_proj", keyValueWidth, shape.width],
    ["self_attn.o_proj", shape.width, shape.width],
    ["mlp.gate_proj", shape.mlpWidth, shape.width],
    ["mlp.up_proj", shape.mlpWidth, shape.width],
    ["mlp.down_proj", shape.width, shape.mlpWidth],
  ];
}

/**
 * Writes `config.json` and `model.safetensors` (F32, tied embeddings) of a llama model into `folder`, unless they are there.
 * Weights are uniform with standard deviation 0.02, norms are one; the same shape always gives the same bytes.
 */
export async function writeRandomLlama(folder: string, shape: LlamaShape): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "config.json"), `${JSON.stringify(llamaConfig(shape), null, 2)}\n`);
  const weights = join(folder, "model.safetensors");
  if (await exists(weights)) return;
  const random = new Random(SEED);
  const tensors: TensorToWrite[] = [weight(random, "model.embed_tokens.weight", [shape.vocabulary, shape.width])];
  for (let layer = 0; layer < shape.layers; layer++) {
    const prefix = `model.layers.${layer}.`;
    for (const [name, out, in_] of linearShapes(shape)) tensors.push(weight(random, `${prefix}${name}.weight`, [out, in_]));
    tensors.push(ones(`${prefix}input_layernorm.weight`, shape.width), ones(`${prefix}post_attention_layernorm.weight`, shape.width));
  }
  tensors.push(ones("model.norm.weight", shape.width));
  await writeSafetensors(weights, tensors, { format: "pt" });
}

/** Writes a PEFT LoRA adapter (r=16, alpha=32, every linear layer) with non-zero A and B into `folder`, unless it is there. */
export async function writeRandomLora(folder: string, shape: LlamaShape, baseFolder: string): Promise<void> {
  const rank = 16;
  await mkdir(folder, { recursive: true });
  const names = linearShapes(shape).map(([name]) => name.split(".").at(-1));
  const config = {
    peft_type: "LORA",
    task_type: "CAUSAL_LM",
    base_model_name_or_path: baseFolder,
    r: rank,
    lora_alpha: 2 * rank,
    lora_dropout: 0,
    bias: "none",
    fan_in_fan_out: false,
    inference_mode: true,
    target_modules: names,
  };
  await writeFile(join(folder, "adapter_config.json"), `${JSON.stringify(config, null, 2)}\n`);
  const weights = join(folder, "adapter_model.safetensors");
  if (await exists(weights)) return;
  const random = new Random(SEED + 1);
  const tensors: TensorToWrite[] = [];
  for (let layer = 0; layer < shape.layers; layer++) {
    for (const [name, out, in_] of linearShapes(shape)) {
      const prefix = `base_model.model.model.layers.${layer}.${name}`;
      tensors.push(weight(random, `${prefix}.lora_A.weight`, [rank, in_]), weight(random, `${prefix}.lora_B.weight`, [out, rank]));
    }
  }
  await writeSafetensors(weights, tensors, { format: "pt" });
}

function llamaConfig(shape: LlamaShape): Record<string, unknown> {
  return {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_size: shape.width,
    intermediate_size: shape.mlpWidth,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    num_key_value_heads: shape.keyValueHeads,
    vocab_size: shape.vocabulary,
    max_position_embeddings: 8192,
    rms_norm_eps: 1e-5,
    rope_theta: 100000,
    rope_scaling: null,
    hidden_act: "silu",
    attention_bias: false,
    mlp_bias: false,
    attention_dropout: 0,
    initializer_range: STANDARD_DEVIATION,
    bos_token_id: 0,
    eos_token_id: 0,
    tie_word_embeddings: true,
    torch_dtype: "float32",
  };
}

function weight(random: Random, name: string, dims: readonly number[]): TensorToWrite {
  // The file's order is not ours, so every tensor draws from its own generator.
  const seed = random.uint32();
  return {
    name,
    dtype: "F32",
    shape: dims,
    data: () => {
      const own = new Random(seed);
      const values = new Float32Array(dims.reduce((product, size) => product * size, 1));
      const scale = (STANDARD_DEVIATION * Math.sqrt(12)) / 2 ** 32;
      for (let index = 0; index < values.length; index++) values[index] = (own.uint32() - 2 ** 31) * scale;
      return values;
    },
  };
}

function ones(name: string, size: number): TensorToWrite {
  return { name, dtype: "F32", shape: [size], data: new Float32Array(size).fill(1) };
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
