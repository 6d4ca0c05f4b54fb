/**
 * Bottleneck adapters: a narrow two-layer network A beside or behind the sub-layers of each block.
 *
 *   A(x) = s·(W_up·f(W_down·x + b_down) + b_up),  W_down [m, C], W_up [C, m], m = ⌊C / reduction factor⌋
 *
 *   Houlsby et al. 2019 (arXiv 1902.00751):   h = r + y + A(y)      behind attention and behind the MLP
 *   Pfeiffer et al. 2020 (arXiv 2005.00247):  h = r + y + A(r + y)  behind the MLP
 *   He et al. 2021 (arXiv 2110.04366):        h = r + y + A(r)      beside the MLP, s = 4
 *
 * with r the stream before a sub-layer and its norm, and y what the sub-layer adds. In these families the norm stands
 * before the sub-layer, so AdapterHub's "original_ln_before" moves the addition of r alone. Where attention and MLP stand
 * side by side, the MLP's r is the stream with attention's output, as in AdapterHub.
 *
 * Tensor names are the keys of AdapterHub's adapter.safetensors.
 */
import { GiantError, invariant } from "../base/errors.ts";
import { add, matmul, scale } from "../core/operations.ts";
import type { Tensor } from "../core/tensor.ts";
import { activation } from "../nn/activation.ts";
import { extendContext, type ModelContext, type SublayerKind } from "../nn/context.ts";
import type { BaseModel } from "../nn/decoder.ts";
import type { Inventory } from "../nn/inventory.ts";
import { BOTTLENECK_FLOATS, type BottleneckConfig, type BottleneckStart, writeBottleneckConfig } from "./bottleneck-config.ts";
import type { AdaptationMethod, AdapterTensor, Dropout, Initial } from "./method.ts";

const PLACES: Readonly<Record<SublayerKind, string>> = { attention: "attention_adapters", mlp: "output_adapters" };

/** The adapter of a configuration, bound to a base. */
export function bottleneck(config: BottleneckConfig, base: BaseModel, inventory: Inventory): AdaptationMethod {
  const { hiddenSize: C } = base;
  const tensors = new Map<string, AdapterTensor>();
  const sites = new Set<string>();
  const widths = bottleneckWidths(config, base);
  for (const { path, kind } of inventory.sublayers) {
    const m = widths.get(path);
    if (m === undefined || !(kind === "attention" ? config.afterAttention : config.afterMlp)) continue;
    const site = siteOf(config, path, kind);
    sites.add(site);
    const [down, up] = starts(config.initWeights, C);
    tensors.set(`${site}.adapter_down.0.weight`, { shape: [m, C], initial: down, trained: true });
    tensors.set(`${site}.adapter_down.0.bias`, { shape: [m], initial: { kind: "zeros" }, trained: true });
    tensors.set(`${site}.adapter_up.weight`, { shape: [C, m], initial: up, trained: true });
    tensors.set(`${site}.adapter_up.bias`, { shape: [C], initial: { kind: "zeros" }, trained: true });
  }
  return {
    name: config.name,
    tensors,
    replacement: () => undefined,
    context: (inner, tensor, { dropout }) => bottleneckContext(inner, config, sites, tensor, dropout),
    merging: { possible: false, reason: "its bottleneck has a non-linear function inside, which no weight of the base can take up" },
    layout: {
      weightsFile: "adapter.safetensors",
      config: (name) => writeBottleneckConfig(config, base, name),
      floats: BOTTLENECK_FLOATS,
      pickled: { file: "pytorch_adapter.bin", hint: "Save the adapter with model.save_adapter(folder, name, use_safetensors=True)." },
    },
  };
}

function siteOf({ name }: BottleneckConfig, path: string, kind: SublayerKind): string {
  return `${path}.${PLACES[kind]}.adapters.${name}`;
}

/** m of each adapted block by its path; AdapterHub's rounding, at least 1. */
function bottleneckWidths({ reductionFactor, leaveOut }: BottleneckConfig, { decoder, hiddenSize, numHiddenLayers: L }: BaseModel): Map<string, number> {
  const misfit = (problem: string): GiantError => new GiantError("adapter", problem, { hint: `This model has ${L} blocks, counted from 0.` });
  const stray = leaveOut.find((layer) => layer < 0 || layer >= L);
  if (stray !== undefined) throw misfit(`leave_out names block ${stray}, which this model lacks`);
  const byBlock = typeof reductionFactor === "number" ? { default: reductionFactor } : reductionFactor;
  const unknown = Object.keys(byBlock).find((layer) => layer !== "default" && Number(layer) >= L);
  if (unknown !== undefined) throw misfit(`reduction_factor names block ${unknown}, which this model lacks`);
  const widths = new Map<string, number>();
  decoder.blocks.forEach(({ path }, layer) => {
    if (leaveOut.includes(layer)) return;
    const factor = byBlock[String(layer)] ?? byBlock["default"];
    if (factor === undefined) throw misfit(`reduction_factor names neither block ${layer} nor a default`);
    widths.set(path, Math.max(1, Math.floor(hiddenSize / factor)));
  });
  if (widths.size === 0) throw misfit("leave_out names every block, so there is nothing to adapt");
  return widths;
}

/** How W_down and W_up start. */
function starts(initWeights: BottleneckStart, C: number): readonly [Initial, Initial] {
  switch (initWeights) {
    case "bert": {
      const normal = { kind: "normal", deviation: 0.02 } as const;
      return [normal, normal];
    }
    // Houlsby 2019, section 3.1: a normal distribution of deviation 0.01, cut off at two deviations.
    case "houlsby": {
      const near = { kind: "truncatedNormal", deviation: 0.01 } as const;
      return [near, near];
    }
    // Kaiming-uniform with a = √5: bound √(6 / ((1 + 5)·C)) = 1/√C. With W_up = 0 the model begins as the bare base.
    case "mam_adapter":
      return [{ kind: "uniform", bound: 1 / Math.sqrt(C) }, { kind: "zeros" }];
  }
}

function bottleneckContext(
  base: ModelContext,
  config: BottleneckConfig,
  sites: ReadonlySet<string>,
  tensor: (name: string) => Tensor,
  dropout?: Dropout,
): ModelContext {
  const act = activation(config.nonLinearity);
  invariant(act !== undefined, `no activation ${config.nonLinearity}`);
  /** A(x): x [N, C] → [N, C]. */
  const adapter = (site: string, x: Tensor): Tensor => {
    const layer = (name: string, rows: Tensor): Tensor =>
      add(matmul(rows, tensor(`${site}.${name}.weight`), { transposeB: true }), tensor(`${site}.${name}.bias`));
    const up = layer("adapter_up", act(layer("adapter_down.0", x)));
    const scaled = config.scaling === 1 ? up : scale(up, config.scaling);
    return dropout === undefined || config.dropout === 0 ? scaled : dropout(scaled, config.dropout, site);
  };
  return extendContext(base, {
    sublayer(path, kind, residual, output) {
      const site = siteOf(config, path, kind);
      const stream = base.sublayer(path, kind, residual, output); // r + y
      if (!sites.has(site)) return stream;
      const read = { output, stream, residual }[config.reads];
      return add(stream, adapter(site, read));
    },
  });
}
