/** Symbolic dimensions: bound by what is fed, then used to know the outputs' shapes before a run. */
import { GiantError } from "../base/errors.ts";
import type { Port } from "./protocol.ts";

/**
 * Binds the symbols of an input to the sizes fed.
 * @throws GiantError("internal") where type, rank or a size differ from the graph's.
 */
export function bindDims(port: Port, type: string, shape: readonly number[], symbols: Map<string, number>): void {
  const fits =
    type === port.dtype &&
    shape.length === port.dims.length &&
    port.dims.every((dim, axis) => {
      const size = shape[axis]!;
      if (typeof dim === "number") return dim === size;
      if (dim === "") return true; // an anonymous dimension takes any size
      const bound = symbols.get(dim);
      if (bound === undefined) symbols.set(dim, size);
      return bound === undefined || bound === size;
    });
  if (fits) return;
  const needed = port.dims.map((dim) => (typeof dim === "string" && symbols.has(dim) ? `${dim}=${symbols.get(dim)}` : dim)).join(", ");
  throw new GiantError("internal", `input ${port.name}: fed ${type} [${shape.join(", ")}], needed ${port.dtype} [${needed}]`);
}

/** The shape of an output, or undefined where a dimension is bound by no input. */
export function resolveDims(port: Port, symbols: ReadonlyMap<string, number>): number[] | undefined {
  const shape: number[] = [];
  for (const dim of port.dims) {
    const size = typeof dim === "number" ? dim : symbols.get(dim);
    if (size === undefined) return undefined;
    shape.push(size);
  }
  return shape;
}
