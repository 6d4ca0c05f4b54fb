/** Which modules a configuration names: suffixes, regular expressions and layer numbers, by PEFT's rules (tuners_utils.py). */
import { GiantError } from "../base/errors.ts";

export interface TargetRules {
  /** Module names or path endings; a regular expression over whole paths; or "all-linear". */
  readonly targetModules: string | readonly string[];
  readonly excludeModules?: string | readonly string[] | undefined;
  readonly layersToTransform?: readonly number[] | undefined;
  /** Name of the list of layers in the path, when it is not the usual one. */
  readonly layersPattern?: string | readonly string[] | undefined;
}

/** "all-linear" means every linear layer but the head. */
export const ALL_LINEAR = "all-linear";

function expression(pattern: string, what: string): RegExp {
  try {
    return new RegExp(pattern);
  } catch (cause) {
    throw new GiantError("adapter", `${what} ${JSON.stringify(pattern)} is not a regular expression`, { cause });
  }
}

function matches(path: string, rule: string | readonly string[], what: string): boolean {
  if (typeof rule === "string") return expression(`^(?:${rule})$`, what).test(path);
  return rule.some((name) => path === name || path.endsWith(`.${name}`));
}

/** Number of the layer a path lies in, or undefined. */
function layerOf(path: string, layersPattern: string | readonly string[] | undefined): number | undefined {
  const patterns = layersPattern === undefined ? [] : typeof layersPattern === "string" ? [layersPattern] : layersPattern;
  const found =
    patterns.length === 0
      ? /\.[^.]*?\.(\d+)\./.exec(path)
      : patterns.map((pattern) => expression(`\\.${pattern}\\.(\\d+)\\.`, "layers_pattern").exec(path)).find((match) => match !== null);
  return found ? Number(found[1]) : undefined;
}

/**
 * Whether the rules name this module. `isHead` marks the output layer, which "all-linear" leaves out.
 */
export function isTarget(path: string, isHead: boolean, rules: TargetRules): boolean {
  const { targetModules, excludeModules, layersToTransform, layersPattern } = rules;
  if (excludeModules !== undefined && matches(path, excludeModules, "exclude_modules")) return false;
  if (targetModules === ALL_LINEAR) {
    if (isHead) return false;
  } else if (!matches(path, targetModules, "target_modules")) return false;
  if (layersToTransform === undefined) return true;
  const layer = layerOf(path, layersPattern);
  return layer !== undefined && layersToTransform.includes(layer);
}

/** The value a pattern map has for a path: the first pattern (name, ending or regular expression) that fits; else `fallback`. */
export function patternValue(patterns: Readonly<Record<string, number>>, path: string, fallback: number): number {
  for (const [pattern, value] of Object.entries(patterns)) {
    if (expression(`^(?:.*\\.)?(?:${pattern})$`, "pattern").test(path)) return value;
  }
  return fallback;
}

/** Whether a module or one of those around it is to be saved whole (`modules_to_save`): PEFT compares endings. */
export function savedWhole(module: string, modulesToSave: readonly string[]): boolean {
  const parts = module.split(".");
  return parts.some((_, i) =>
    modulesToSave.some((name) =>
      parts
        .slice(0, i + 1)
        .join(".")
        .endsWith(name),
    ),
  );
}
