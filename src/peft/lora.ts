/**
 * LoRA (Hu et al. 2021, arXiv 2106.09685) with rsLoRA and DoRA.
 *
 *   y = W·x + s·B·(A·x),  A [r, in], B [out, r], s = α/r (rsLoRA: α/√r)
 *   DoRA: y = m ⊙ (W·x + s·B·(A·x)) / ‖W + s·B·A‖ per output, the norm taken as a constant in the backward pass
 *
 * Tensor names are the keys of PEFT's adapter_model.safetensors.
 */
import { GiantError } from "../base/errors.ts";
import { add, div, gather, matmul, mul, reshape, scalar, scale, slice, sqrt, stopGradient, sub, sum, transpose } from "../core/operations.ts";
import type { Tensor } from "../core/tensor.ts";
import { extendContext, type LinearSpec, type ModelContext, rowDot } from "../nn/context.ts";
import type { Inventory } from "../nn/inventory.ts";
import { type LoraConfig, writeLoraConfig } from "./lora-config.ts";
import type { AdaptationMethod, AdapterTensor, Dropout, LowRankTerm, Summing, Update } from "./method.ts";
import { isTarget, patternValue, savedWhole } from "./targets.ts";

/** PEFT's prefix of every key. */
const PREFIX = "base_model.model.";

/** One adapted layer. */
interface Site {
  readonly path: string;
  readonly rank: number;
  readonly scaling: number;
  /** Absent for an embedding. */
  readonly linear?: LinearSpec;
}

/** The modules of a base that a configuration adapts, and their tensors. `head` is the base's output layer. */
export function lora(config: LoraConfig, inventory: Inventory, head: { readonly path: string; readonly spec: LinearSpec }): AdaptationMethod {
  const sites = findSites(config, inventory, head);
  const tensors = new Map<string, AdapterTensor>();
  for (const site of sites.values()) addSite(tensors, site, config, inventory);
  const replaced = addReplacements(tensors, config, inventory, head, sites);
  return {
    name: "lora",
    tensors,
    replacement: (parameter, module) => replaced(parameter, module),
    context: (base, tensor, { dropout }) => loraContext(base, sites, config, tensor, dropout),
    merging: { possible: true, parameters: (parameter, tensor) => merged(sites, config, tensors, parameter, tensor) },
    summing: summing(sites, config),
    layout: {
      weightsFile: "adapter_model.safetensors",
      config: (base) => {
        const transposed = [...sites.values()].some(({ linear }) => linear?.transposed);
        return writeLoraConfig(config, base, [...sites.keys()], transposed);
      },
    },
  };
}

function findSites(config: LoraConfig, inventory: Inventory, head: { readonly path: string; readonly spec: LinearSpec }): Map<string, Site> {
  const sites = new Map<string, Site>();
  const consider = (path: string, isHead: boolean, linear?: LinearSpec): void => {
    if (!isTarget(path, isHead, config) || savedWhole(path, config.modulesToSave)) return;
    const rank = patternValue(config.rankPattern, path, config.r);
    const alpha = patternValue(config.alphaPattern, path, config.loraAlpha);
    sites.set(path, { path, rank, scaling: alpha / (config.useRslora ? Math.sqrt(rank) : rank), ...(linear && { linear }) });
  };
  if (config.targetModules !== "all-linear") for (const { path } of inventory.embeddings) consider(path, false);
  for (const { path, spec } of inventory.linears) consider(path, false, spec);
  consider(head.path, true, head.spec);
  if (sites.size === 0) {
    const known = [...new Set([...inventory.linears.map(({ path }) => path), head.path].map((path) => path.slice(path.lastIndexOf(".") + 1)))];
    throw new GiantError("adapter", `target_modules ${JSON.stringify(config.targetModules)} match no layer of this model`, {
      hint: `Layers that can be adapted: ${known.join(", ")}.`,
    });
  }
  return sites;
}

const key = (path: string, tensor: string): string => `${PREFIX}${path}.${tensor}`;

function addSite(tensors: Map<string, AdapterTensor>, { path, rank, linear }: Site, config: LoraConfig, inventory: Inventory): void {
  const add = (name: string, shape: readonly number[], initial: AdapterTensor["initial"], trained = true): void => {
    tensors.set(key(path, name), { shape, initial, trained });
  };
  if (linear === undefined) {
    const { rows, width } = inventory.embeddings.find((embedding) => embedding.path === path)!;
    // PEFT saves the embedding itself too when it is adapted.
    add("base_layer.weight", [rows, width], { kind: "base", parameter: `${path}.weight` }, false);
    add("lora_embedding_A", [rank, rows], { kind: "zeros" });
    add("lora_embedding_B", [width, rank], { kind: "normal", deviation: 1 });
    return;
  }
  const { inFeatures, outFeatures, transposed = false } = linear;
  if (rank > Math.min(inFeatures, outFeatures)) {
    throw new GiantError("adapter", `rank ${rank} of ${path} is larger than its matrix [${outFeatures}, ${inFeatures}]`, {
      hint: "Choose a smaller rank, or leave the layer out.",
    });
  }
  // Kaiming-uniform with a = √5, as torch.nn.Linear: bound √(6 / ((1 + 5)·in)) = 1/√in.
  add(
    "lora_A.weight",
    [rank, inFeatures],
    config.initLoraWeights === "gaussian" ? { kind: "normal", deviation: 1 / rank } : { kind: "uniform", bound: 1 / Math.sqrt(inFeatures) },
  );
  add("lora_B.weight", [outFeatures, rank], { kind: "zeros" });
  if (config.useDora) add("lora_magnitude_vector", [outFeatures], { kind: "outputNorms", parameter: linear.tiedTo ?? `${path}.weight`, transposed });
}

/** Adds whole modules and biases that are trained; returns which tensor stands in for a parameter. */
function addReplacements(
  tensors: Map<string, AdapterTensor>,
  config: LoraConfig,
  inventory: Inventory,
  head: { readonly path: string; readonly spec: LinearSpec },
  sites: ReadonlyMap<string, Site>,
): AdaptationMethod["replacement"] {
  const replaced = (parameter: string, module: string): string | undefined => {
    const last = parameter.slice(parameter.lastIndexOf(".") + 1);
    if (savedWhole(module, config.modulesToSave)) return key(module, last);
    if (last !== "bias" || config.bias === "none") return undefined;
    if (sites.has(module)) return key(module, "base_layer.bias");
    return config.bias === "all" ? key(module, "bias") : undefined;
  };
  const addReplacement = (parameter: string, module: string, shape: readonly number[]): void => {
    const name = replaced(parameter, module);
    if (name !== undefined) tensors.set(name, { shape, initial: { kind: "base", parameter }, trained: true });
  };
  for (const [parameter, shape] of inventory.parameters) addReplacement(parameter, parameter.slice(0, parameter.lastIndexOf(".")), shape);
  if (head.spec.tiedTo !== undefined) addReplacement(head.spec.tiedTo, head.path, [head.spec.outFeatures, head.spec.inFeatures]);
  for (const name of config.modulesToSave) {
    if (![...inventory.modules].some((module) => savedWhole(module, [name])))
      throw new GiantError("adapter", `modules_to_save names ${name}, which matches no module of this model`);
  }
  return replaced;
}

function loraContext(
  base: ModelContext,
  sites: ReadonlyMap<string, Site>,
  config: LoraConfig,
  tensor: (name: string) => Tensor,
  dropout?: Dropout,
  weight?: Tensor,
): ModelContext {
  const scaled = (x: Tensor, { scaling }: Site): Tensor => (weight === undefined ? scale(x, scaling) : mul(scale(x, scaling), weight));
  const drop = (x: Tensor, path: string): Tensor => (dropout === undefined || config.loraDropout === 0 ? x : dropout(x, config.loraDropout, path));
  return extendContext(base, {
    linear(path, x, spec) {
      const site = sites.get(path);
      if (site === undefined) return base.linear(path, x, spec);
      const [A, B] = [tensor(key(path, "lora_A.weight")), tensor(key(path, "lora_B.weight"))];
      if (config.useDora) return doraLinear(base, site, spec, x, drop(x, path), A, B, tensor(key(path, "lora_magnitude_vector")));
      // The factor stands on the narrow side, so that its gradient passes over [N, r] and not over [N, out].
      const inner = scaled(matmul(drop(x, path), A, { transposeB: true }), site); // [N, r]
      return add(base.linear(path, x, spec), matmul(inner, B, { transposeB: true }));
    },
    ...(base.linearRange !== undefined && !config.useDora && { linearRange: rangesOf(base.linearRange, sites, tensor, drop) }),
    linearAt(path, x, ids, spec) {
      const site = sites.get(path);
      if (site === undefined) return base.linearAt(path, x, ids, spec);
      if (config.useDora)
        throw new GiantError("adapter", `DoRA on the output layer ${path} is not supported`, {
          hint: "Leave it out of target_modules, or name it in modules_to_save.",
        });
      const inner = matmul(drop(x, path), tensor(key(path, "lora_A.weight")), { transposeB: true });
      const update = rowDot(inner, gather(tensor(key(path, "lora_B.weight")), ids));
      return add(base.linearAt(path, x, ids, spec), scaled(update, site));
    },
    embedding(path, ids, spec) {
      const site = sites.get(path);
      const rows = base.embedding(path, ids, spec);
      if (site === undefined) return rows;
      const inner = gather(transpose(tensor(key(path, "lora_embedding_A")), [1, 0]), ids); // [..., r]
      return add(rows, scaled(matmul(inner, tensor(key(path, "lora_embedding_B")), { transposeB: true }), site));
    },
  });
}

/** What a site adds to its weight: s·B·A as the base stores W. */
function updateOf({ scaling, linear }: Site, A: Tensor, B: Tensor): Tensor {
  return scale(linear?.transposed ? matmul(A, B, { transposeA: true, transposeB: true }) : matmul(B, A), scaling);
}

/** s·A^T·B^T, [rows, width]: what an embedding's site adds to its table. */
function embeddingUpdateOf({ path, scaling }: Site, tensor: (name: string) => Tensor): Tensor {
  const product = matmul(tensor(key(path, "lora_embedding_A")), tensor(key(path, "lora_embedding_B")), { transposeA: true, transposeB: true });
  return scale(product, scaling);
}

/** A part of the outputs: the base's, and that of the low-rank term. */
function rangesOf(
  base: NonNullable<ModelContext["linearRange"]>,
  sites: ReadonlyMap<string, Site>,
  tensor: (name: string) => Tensor,
  drop: (x: Tensor, path: string) => Tensor,
): NonNullable<ModelContext["linearRange"]> {
  return (path, x, spec, start, length) => {
    const y = base(path, x, spec, start, length);
    const site = sites.get(path);
    if (site === undefined) return y;
    const inner = scale(matmul(drop(x, path), tensor(key(path, "lora_A.weight")), { transposeB: true }), site.scaling);
    return add(y, matmul(inner, slice(tensor(key(path, "lora_B.weight")), 0, start, length), { transposeB: true }));
  };
}

/** W + s·B·A as the base stores W. */
function updatedWeight(W: Tensor, site: Site, A: Tensor, B: Tensor): Tensor {
  return add(W, updateOf(site, A, B));
}

function termOf({ path, rank, scaling, linear }: Site): LowRankTerm {
  const [A, B]: readonly [string, string] = linear === undefined ? ["lora_embedding_A", "lora_embedding_B"] : ["lora_A.weight", "lora_B.weight"];
  return { rank, scaling, A: key(path, A), B: key(path, B) };
}

/** LoRA's terms are linear in a weight; DoRA's are not, and of layers that were trained whole there is no sum. */
function summing(sites: ReadonlyMap<string, Site>, config: LoraConfig): Summing {
  if (config.useDora) return { possible: false, reason: "DoRA divides by the norm of weight and update together, so it is no sum of terms" };
  if (config.modulesToSave.length > 0) return { possible: false, reason: `it holds ${config.modulesToSave.join(", ")} whole (modules_to_save)` };
  if (config.bias !== "none") return { possible: false, reason: `it holds biases of its own (bias: ${config.bias})` };
  return {
    possible: true,
    terms: new Map([...sites.values()].map((site) => [site.path, termOf(site)])),
    context: (base, tensor, weight) => loraContext(base, sites, config, tensor, undefined, weight),
    updates: (tensor, weight) =>
      new Map<string, Update>(
        [...sites.values()].map((site) => {
          const { path, linear } = site;
          const update =
            linear === undefined ? embeddingUpdateOf(site, tensor) : updateOf(site, tensor(key(path, "lora_A.weight")), tensor(key(path, "lora_B.weight")));
          return [`${path}.weight`, { base: linear?.tiedTo ?? `${path}.weight`, update: mul(update, weight) }];
        }),
      ),
  };
}

/** m / ‖W + s·B·A‖ per output, [out]; the norm is a constant in the backward pass (paper, section 4.3). */
function magnitudeOverNorm(W: Tensor, site: Site, A: Tensor, B: Tensor, magnitude: Tensor): Tensor {
  const updated = stopGradient(updatedWeight(W, site, A, B));
  const norm = sqrt(sum(mul(updated, updated), [site.linear?.transposed ? 0 : 1]));
  return div(magnitude, reshape(stopGradient(norm), magnitude.shape));
}

function doraLinear(base: ModelContext, site: Site, spec: LinearSpec, x: Tensor, dropped: Tensor, A: Tensor, B: Tensor, magnitude: Tensor): Tensor {
  const { path } = site;
  const weight = base.parameter(
    spec.tiedTo ?? `${path}.weight`,
    spec.transposed ? [spec.inFeatures, spec.outFeatures] : [spec.outFeatures, spec.inFeatures],
    path,
  );
  const ratio = magnitudeOverNorm(weight, site, A, B, magnitude);
  // With dropout PEFT drops the direction's input in both terms of the update and keeps it in the base's own product:
  // y = Wx + b + (m/‖·‖ − 1)·Wx' + m/‖·‖·s·B·A·x'.
  const plain = base.linear(path, x, spec);
  const product = dropped === x && !spec.bias ? plain : matmul(dropped, weight, { transposeB: !spec.transposed });
  const update = scale(matmul(matmul(dropped, A, { transposeB: true }), B, { transposeB: true }), site.scaling);
  if (dropped === x && !spec.bias) return mul(ratio, add(product, update));
  return add(plain, add(mul(sub(ratio, scalar(1)), product), mul(ratio, update)));
}

function merged(
  sites: ReadonlyMap<string, Site>,
  config: LoraConfig,
  tensors: ReadonlyMap<string, AdapterTensor>,
  parameter: (name: string) => Tensor,
  tensor: (name: string) => Tensor,
): Map<string, Tensor> {
  const result = new Map<string, Tensor>();
  for (const [path, site] of sites) {
    const name = `${path}.weight`;
    if (site.linear === undefined) {
      result.set(name, add(parameter(name), embeddingUpdateOf(site, tensor)));
      continue;
    }
    const [A, B] = [tensor(key(path, "lora_A.weight")), tensor(key(path, "lora_B.weight"))];
    const W = parameter(site.linear.tiedTo ?? name);
    let weight = updatedWeight(W, site, A, B);
    if (config.useDora) {
      const ratio = magnitudeOverNorm(W, site, A, B, tensor(key(path, "lora_magnitude_vector")));
      weight = mul(weight, site.linear.transposed ? ratio : reshape(ratio, [site.linear.outFeatures, 1]));
    }
    result.set(name, weight);
  }
  for (const [name, { initial, trained }] of tensors) {
    if (initial.kind === "base" && trained) result.set(name.slice(PREFIX.length).replace(".base_layer.", "."), tensor(name));
  }
  return result;
}
