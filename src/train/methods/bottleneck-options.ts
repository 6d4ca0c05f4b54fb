/** Options of bottleneck adapters in a recipe, and the configuration they stand for. */
import type { OptionTable } from "../../base/options.ts";
import { activationNames } from "../../nn/activation.ts";
import { BOTTLENECK_STARTS, type BottleneckConfig, type BottleneckStart } from "../../peft/bottleneck-config.ts";

export interface BottleneckOptions {
  readonly reductionFactor?: number;
  readonly layerReductionFactors: Readonly<Record<string, number>>;
  readonly nonLinearity?: string;
  readonly leaveOut: readonly number[];
  readonly adapterScaling?: number;
  readonly adapterDropout: number;
  readonly adapterInit: BottleneckStart;
}

const GROUP = "Bottleneck adapters (houlsby, pfeiffer, parallel)";

export const BOTTLENECK_OPTIONS: OptionTable<BottleneckOptions> = {
  reductionFactor: {
    group: GROUP,
    type: "number",
    minimum: 0,
    above: true,
    defaultText: "16 for houlsby, pfeiffer; 2 for parallel",
    help: "hidden size over the width of the bottleneck",
  },
  layerReductionFactors: { group: GROUP, type: "map", default: {}, help: "reduction factor by the block's number from 0, where it differs, such as 0=4,11=8" },
  nonLinearity: {
    group: GROUP,
    type: "enum",
    choices: activationNames,
    defaultText: "swish for houlsby; relu for pfeiffer, parallel",
    help: "function inside the bottleneck",
  },
  leaveOut: { group: GROUP, type: "integers", default: [], help: "blocks without an adapter, by number from 0" },
  adapterScaling: {
    group: GROUP,
    type: "number",
    minimum: 0,
    above: true,
    defaultText: "1 for houlsby, pfeiffer; 4 for parallel",
    help: "scale of the adapter's output",
  },
  adapterDropout: {
    group: GROUP,
    type: "number",
    minimum: 0,
    maximum: 0.99,
    default: 0,
    help: "part of the adapter's output that is left out at random",
  },
  adapterInit: {
    group: GROUP,
    type: "enum",
    choices: BOTTLENECK_STARTS,
    default: "mam_adapter",
    help: "how weights start: mam_adapter with an output of zero, so that the run begins as the bare base; bert and houlsby near it, as AdapterHub and the paper do",
  },
};

/** AdapterHub's configuration for the options; `usual` is the method's own. */
export function bottleneckConfigOf(options: BottleneckOptions, usual: BottleneckConfig): BottleneckConfig {
  const { reductionFactor = usual.reductionFactor, layerReductionFactors, nonLinearity = usual.nonLinearity, leaveOut } = options;
  const byBlock = Object.keys(layerReductionFactors).length > 0 && typeof reductionFactor === "number";
  return {
    ...usual,
    reductionFactor: byBlock ? { ...layerReductionFactors, default: reductionFactor } : reductionFactor,
    nonLinearity,
    leaveOut,
    scaling: options.adapterScaling ?? usual.scaling,
    dropout: options.adapterDropout,
    initWeights: options.adapterInit,
  };
}
