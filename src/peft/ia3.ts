/**
 * IA3 (Liu et al. 2022, arXiv 2205.05638): trained factors on keys, values and the inner activations of the MLP.
 *
 *   y = l ⊙ (W·x + b),  l [out]     keys, values and other targets
 *   y = W·(l ⊙ x) + b,  l [in]      feed-forward modules
 *
 * Every factor starts at one. Tensor names are the keys of PEFT's adapter_model.safetensors.
 */
import { GiantError } from "../base/errors.ts";
import { gather, mul, reshape } from "../core/operations.ts";
import type { Tensor } from "../core/tensor.ts";
import { extendContext, type LinearSpec } from "../nn/context.ts";
import type { BaseModel } from "../nn/decoder.ts";
import type { Inventory } from "../nn/inventory.ts";
import { type Ia3Config, type Ia3Targets, ia3Targets, writeIa3Config } from "./ia3-config.ts";
import type { AdaptationMethod, AdapterTensor } from "./method.ts";
import { isTarget } from "./targets.ts";

/** One scaled layer. */
interface Site {
  readonly path: string;
  readonly spec: LinearSpec;
  /** Its input is scaled, and not its output. */
  readonly feedforward: boolean;
}

const key = (path: string): string => `base_model.model.${path}.ia3_l`;

/** The layers of a base that a configuration scales, and their factors. */
export function ia3(config: Ia3Config, inventory: Inventory, base: Pick<BaseModel, "modelType" | "head">): AdaptationMethod {
  const targets = ia3Targets(config, base.modelType);
  const sites = findSites(targets, inventory, base.head);
  const tensors = new Map<string, AdapterTensor>();
  for (const { path, spec, feedforward } of sites.values()) {
    tensors.set(key(path), { shape: feedforward ? [1, spec.inFeatures] : [spec.outFeatures, 1], initial: { kind: "ones" }, trained: true });
  }
  return {
    name: "ia3",
    tensors,
    replacement: () => undefined,
    context: (inner, tensor) => {
      const scaled = (path: string, x: Tensor, product: (x: Tensor) => Tensor, outputs: (l: Tensor, spec: LinearSpec) => Tensor): Tensor => {
        const site = sites.get(path);
        if (site === undefined) return product(x);
        const l = tensor(key(path));
        return site.feedforward ? product(mul(x, l)) : mul(product(x), outputs(l, site.spec));
      };
      return extendContext(inner, {
        linear: (path, x, spec) =>
          scaled(
            path,
            x,
            (input) => inner.linear(path, input, spec),
            (l, { outFeatures }) => reshape(l, [1, outFeatures]),
          ),
        linearAt: (path, x, ids, spec) =>
          scaled(
            path,
            x,
            (input) => inner.linearAt(path, input, ids, spec),
            (l) => gather(l, ids), // [N, 1]
          ),
      });
    },
    merging: { possible: true, parameters: (parameter, tensor) => merged(sites, parameter, tensor) },
    layout: {
      weightsFile: "adapter_model.safetensors",
      config: (name) =>
        writeIa3Config(
          targets,
          name,
          [...sites.values()].some(({ spec }) => spec.transposed),
        ),
    },
  };
}

function findSites(targets: Ia3Targets, inventory: Inventory, head: BaseModel["head"]): Map<string, Site> {
  const sites = new Map<string, Site>();
  for (const { path } of inventory.embeddings) {
    if (targets.targetModules !== "all-linear" && isTarget(path, false, targets)) {
      throw new GiantError("adapter", `target_modules names ${path}, an embedding: IA3 scales linear layers only`, { hint: "Leave it out." });
    }
  }
  for (const { path, spec } of [...inventory.linears, head]) {
    if (isTarget(path, path === head.path, targets)) sites.set(path, { path, spec, feedforward: isFeedforward(path, targets.feedforwardModules) });
  }
  if (sites.size === 0) {
    const known = [...new Set([...inventory.linears, head].map(({ path }) => path.slice(path.lastIndexOf(".") + 1)))];
    throw new GiantError("adapter", `target_modules ${JSON.stringify(targets.targetModules)} match no linear layer of this model`, {
      hint: `Layers that can be scaled: ${known.join(", ")}.`,
    });
  }
  return sites;
}

/** PEFT compares the endings of paths here, and not whole parts of them. */
function isFeedforward(path: string, modules: Ia3Targets["feedforwardModules"]): boolean {
  return typeof modules === "string" ? isTarget(path, false, { targetModules: modules }) : modules.some((name) => path.endsWith(name));
}

/** W with its rows or columns scaled, as the base stores it, and the scaled bias. */
function merged(sites: ReadonlyMap<string, Site>, parameter: (name: string) => Tensor, tensor: (name: string) => Tensor): Map<string, Tensor> {
  const result = new Map<string, Tensor>();
  for (const [path, { spec, feedforward }] of sites) {
    const { inFeatures, outFeatures, transposed = false, tiedTo, bias } = spec;
    const l = tensor(key(path));
    // A factor of each input stands along the axis of the inputs: the second one, or the first where W is stored turned.
    const shape = feedforward ? (transposed ? [inFeatures, 1] : [1, inFeatures]) : transposed ? [1, outFeatures] : [outFeatures, 1];
    result.set(`${path}.weight`, mul(parameter(tiedTo ?? `${path}.weight`), reshape(l, shape)));
    if (bias && !feedforward) result.set(`${path}.bias`, mul(parameter(`${path}.bias`), reshape(l, [outFeatures])));
  }
  return result;
}
