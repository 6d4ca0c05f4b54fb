/** How much memory a program takes while it runs, walked node by node. */
import type { Bindings } from "../core/shape.ts";
import type { OnnxModel } from "../onnx/model.ts";
import { Arena } from "./arena.ts";
import { planBuffers, type PlannedNode } from "./buffers.ts";
import { workspaceBytes } from "./workspace.ts";
import { ELEMENT_BYTES, sizedValues, type SizedValue } from "./values.ts";

/** Bytes of a program's memory by where they lie. */
export interface ProgramMemory {
  /** Most bytes of values that are taken at once. */
  readonly liveBytes: number;
  /** What of them are logits, or as large as these: values with a row of the vocabulary per labelled position. */
  readonly logitBytes: number;
  /** What the arena takes from the system for them: gaps between values included. It is not given back before the program is closed. */
  readonly arenaBytes: number;
  /** Outputs, which lie outside the arena. */
  readonly outputBytes: number;
  /** Frozen weights that stay mapped from their file. */
  readonly mappedBytes: number;
  /** Copies of frozen weights in the order in which products read them, when the program packs. */
  readonly packedBytes: number;
  readonly nodes: number;
}

/** What of a program is asked for beside its graph. */
export interface ProgramSetting {
  readonly bindings: Bindings;
  /** Whether the program copies float32 weights in packed order as it is opened. */
  readonly packs?: boolean;
  /** The symbol of a labelled position and the vocabulary: what makes a value logits. */
  readonly vocabulary?: number;
}

/** Walks a program in the order in which ONNX Runtime runs it on the CPU. */
export function programMemory(model: OnnxModel, { bindings, packs = false, vocabulary }: ProgramSetting): ProgramMemory {
  const values = sizedValues(model, bindings);
  const isLogits = (name: string): boolean => isTable(values.get(name)!, bindings.get("N"), vocabulary);
  const { liveBytes, logitBytes, arenaBytes } = walk(planBuffers(model, values), values, isLogits);
  return {
    liveBytes,
    logitBytes,
    arenaBytes,
    outputBytes: model.outputs.reduce((sum, { name }) => sum + values.get(name)!.bytes, 0),
    ...weightsOf(model, packs, values),
    nodes: model.nodes.length,
  };
}

function isTable({ dims }: SizedValue, rows: number | undefined, vocabulary: number | undefined): boolean {
  return dims.length === 2 && dims[0] === rows && dims[1] === vocabulary;
}

function walk(
  plan: readonly PlannedNode[],
  values: ReadonlyMap<string, SizedValue>,
  isLogits: (name: string) => boolean,
): Pick<ProgramMemory, "liveBytes" | "logitBytes" | "arenaBytes"> {
  const arena = new Arena();
  const chunks = new Map<string, ReturnType<Arena["take"]>>();
  let [live, logits, liveBytes, logitBytes] = [0, 0, 0, 0];
  for (const { node, takes, gives } of plan) {
    for (const name of takes) {
      const { bytes } = values.get(name)!;
      chunks.set(name, arena.take(bytes));
      live += bytes;
      if (isLogits(name)) logits += bytes;
    }
    // An operator's own workspace lies in the arena while it runs.
    const own = workspaceBytes(node);
    if (own > 0) arena.give(arena.take(own));
    if (live + own > liveBytes) [liveBytes, logitBytes] = [live + own, logits];
    for (const name of gives) {
      const { bytes } = values.get(name)!;
      arena.give(chunks.get(name)!);
      chunks.delete(name);
      live -= bytes;
      if (isLogits(name)) logits -= bytes;
    }
  }
  return { liveBytes, logitBytes, arenaBytes: arena.touchedBytes };
}

const PANEL = 16; // columns that MLAS packs together
const INT8_GROUP = 4; // rows of codes that it packs together
const INT8_SUM_BYTES = 4; // of a column, kept beside its codes

/** Bytes around a page that are mapped with it when it is touched: Linux brings in sixteen pages at once. */
const FAULT_BYTES = 65536;

/**
 * A weight, float32 or int8, is packed once per product that it is the second operand of; when nothing else reads it, it is no longer mapped.
 * Of a table that rows are only taken from, no more is touched than lies around these rows.
 */
function weightsOf(model: OnnxModel, packs: boolean, values: ReadonlyMap<string, SizedValue>): Pick<ProgramMemory, "mappedBytes" | "packedBytes"> {
  const weights = new Map(model.initializers.filter(({ content }) => content.kind === "external").map((tensor) => [tensor.name, tensor]));
  const mapped = new Set<string>();
  const rowsTaken = new Map<string, number>();
  let packedBytes = 0;
  for (const { operator, inputs, outputs, attributes } of model.nodes) {
    inputs.forEach((name, i) => {
      const weight = weights.get(name);
      if (weight === undefined) return;
      if (packs && weight.type === "int8") {
        const [depth, columns] = weight.dims as [number, number];
        packedBytes += Math.ceil(columns / PANEL) * PANEL * (Math.ceil(depth / INT8_GROUP) * INT8_GROUP + INT8_SUM_BYTES);
      } else if (packs && weight.type === "float32" && i === 1 && weight.dims.length === 2 && (operator === "Gemm" || operator === "MatMul")) {
        const transposed = attributes?.["transB"]?.kind === "int" && attributes["transB"].value === 1;
        const [columns, depth] = transposed ? [weight.dims[0]!, weight.dims[1]!] : [weight.dims[1]!, weight.dims[0]!];
        packedBytes += Math.ceil(columns / PANEL) * PANEL * depth * ELEMENT_BYTES.float32;
      } else if (operator === "Gather" && i === 0 && weight.dims.length === 2) {
        const rows = values
          .get(outputs[0]!)!
          .dims.slice(0, -1)
          .reduce((a, b) => a * b, 1);
        rowsTaken.set(name, (rowsTaken.get(name) ?? 0) + rows);
      } else {
        mapped.add(name);
      }
    });
  }
  const bytesOf = (name: string): number => weights.get(name)!.dims.reduce((a, b) => a * b, ELEMENT_BYTES[weights.get(name)!.type]);
  let mappedBytes = 0;
  for (const name of mapped) mappedBytes += bytesOf(name);
  for (const [name, rows] of rowsTaken) if (!mapped.has(name)) mappedBytes += Math.min(bytesOf(name), rows * FAULT_BYTES);
  return { mappedBytes, packedBytes };
}
