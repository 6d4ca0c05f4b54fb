/** How long a program takes on a machine whose figures are known. */
import type { MachineFigures, Rate } from "./machine.ts";
import type { NodeWork, ProgramWork } from "./work.ts";

/** Sums into scattered rows go one by one, on one thread: as much slower than other movement, measured on two cores. */
const SCATTER_SLOWNESS = 4;

/** How much faster the CPU multiplies bytes than floats: 2.3 to 3.5 times at the widths of layers, measured on two cores with AVX-512 VNNI. */
const INT8_SPEED = 2.5;

/** Seconds of one run of a program: of each node its arithmetic, its traffic and its overhead. */
export function programSeconds({ nodes, tensors }: ProgramWork, machine: MachineFigures): number {
  const computing = nodes.reduce((sum, work) => sum + nodeSeconds(work, machine), 0);
  return computing + nodes.length * machine.secondsPerOperator + tensors * machine.secondsPerTensor;
}

function nodeSeconds(work: NodeWork, machine: MachineFigures): number {
  switch (work.kind) {
    case "product": {
      if (work.rows === 1) return work.bytes / machine.rowProductBytesPerSecond;
      const { seconds, flopsPerSecond, bytesPerSecond } = machine.products[work.orientation === "TT" ? "TN" : work.orientation];
      return seconds + work.flops / (work.int8 ? INT8_SPEED * flopsPerSecond : flopsPerSecond) + work.bytes / bytesPerSecond;
    }
    case "elementwise":
      return work.bytes / rateAt(machine.elementwise, work.bytes);
    case "softmax":
      return work.bytes / machine.softmaxBytesPerSecond;
    case "movement":
      return work.bytes / rateAt(machine.movement, work.bytes);
    case "scatter":
      return (work.bytes * SCATTER_SLOWNESS) / rateAt(machine.movement, work.bytes);
    case "still":
      return 0;
  }
}

/** The rate at a size between those measured: along the logarithm of the size. */
export function rateAt(rates: readonly Rate[], bytes: number): number {
  const above = rates.findIndex((rate) => rate.bytes >= bytes);
  if (above < 0) return rates.at(-1)!.bytesPerSecond;
  const [low, high] = [rates[above - 1], rates[above]!];
  if (low === undefined) return high.bytesPerSecond;
  const part = Math.log(bytes / low.bytes) / Math.log(high.bytes / low.bytes);
  return low.bytesPerSecond + part * (high.bytesPerSecond - low.bytesPerSecond);
}
