/** Puts a graph's nodes in their final form: outputs under their own names, nothing unused, and an order that saves memory. */
import type { OnnxNode } from "./model.ts";

/**
 * `outputs` maps each output's name to the value it shows, in the order in which they should be computed.
 *
 * ONNX Runtime orders nodes by a depth-first walk back from those that nobody uses, and begins with the last of them in
 * the file. In natural order every gradient would be computed at the very end, its operands kept alive until then. The
 * unused nodes therefore stand at the end of the file in reverse: the value that is ready first is the last one.
 *
 * Of a node's operands the one that is written last is computed first. What is made of `constants` alone therefore stands
 * at the beginning: a weight that is widened would otherwise be so before everything that its product waits for, and all
 * weights of the model would lie in memory at once.
 */
export function arrange(nodes: readonly OnnxNode[], outputs: ReadonlyMap<string, string>, constants: ReadonlySet<string> = new Set()): OnnxNode[] {
  const live = withoutUnused(nodes, new Set(outputs.values()));
  const consumed = new Set(live.flatMap((node) => node.inputs));
  const byValue = new Map(live.map((node) => [node.outputs[0]!, node]));
  const shown = [...outputs.values()];
  const shownAs = new Map<string, string>();
  const identities: OnnxNode[] = [];
  for (const [name, value] of outputs) {
    // A value that something else needs, that is no node's, or that is shown twice, gets its name by an identity.
    if (consumed.has(value) || !byValue.has(value) || shown.indexOf(value) !== shown.lastIndexOf(value)) {
      identities.push({ operator: "Identity", name: `output_${name}`, inputs: [value], outputs: [name] });
    } else {
      shownAs.set(value, name);
    }
  }
  const inner = live.filter((node) => !shownAs.has(node.outputs[0]!));
  const last = [...shownAs].map(([shownValue, name]) => ({ ...byValue.get(shownValue)!, outputs: [name] }));
  const fixed = new Set(constants);
  const early = new Set<OnnxNode>();
  for (const node of inner) {
    if (!node.inputs.every((input) => input === "" || fixed.has(input))) continue;
    early.add(node);
    for (const output of node.outputs) fixed.add(output);
  }
  return [...early, ...inner.filter((node) => !early.has(node)), ...identities, ...last.toReversed()];
}

/** Keeps the nodes that an output depends on; nodes stand after those they use. */
function withoutUnused(nodes: readonly OnnxNode[], wanted: ReadonlySet<string>): OnnxNode[] {
  const needed = new Set(wanted);
  const kept: OnnxNode[] = [];
  for (const node of nodes.toReversed()) {
    if (!node.outputs.some((output) => needed.has(output))) continue;
    for (const input of node.inputs) needed.add(input);
    kept.push(node);
  }
  return kept.toReversed();
}
