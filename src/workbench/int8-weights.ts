/** The int8 form of a model's linear layers, computed once and kept in a file that graphs read from. */
import { join, relative, resolve, sep } from "node:path";
import { GiantError } from "../base/errors.ts";
import { fingerprintText, fingerprintWeights } from "../io/fingerprint.ts";
import { kindOf } from "../io/folder.ts";
import { makeFolder } from "../io/make-folder.ts";
import { readSafetensorsHeader, type SafetensorsFile } from "../io/safetensors.ts";
import { type TensorToWrite, writeSafetensors } from "../io/safetensors-writer.ts";
import type { LinearSpec } from "../nn/context.ts";
import type { FileBytes, WeightLocation } from "../onnx/emitter.ts";
import { int8Names } from "../peft/adapt.ts";
import { LARGEST_CODE, quantizeInt8 } from "../quantize/int8.ts";
import type { OpenModel } from "./open-model.ts";

export interface Int8Weights {
  /** The file. */
  readonly path: string;
  /** Whether it was made by this call, and not found. */
  readonly made: boolean;
  /** A folder that holds the model's weights and the file. */
  readonly weightsFolder: string;
  /** Where a parameter of the model, or a part of an int8 form, lies in it. */
  readonly locate: (name: string) => WeightLocation;
}

/** Changes when the codes of the same weights do. */
const FORM = "1";

/**
 * Finds the int8 form of `model` in `folder`, or makes it: twice a byte per weight, since forward and backward pass read a
 * matrix the two ways round. It is known by the weights' fingerprint, so another base gets another file.
 * @param largest the largest code, see `quantizeInt8`.
 * @throws GiantError("file") when the file cannot be written.
 */
export async function openInt8Weights(model: OpenModel, folder: string, largest: number = LARGEST_CODE): Promise<Int8Weights> {
  const key = `${FORM} ${largest} ${await fingerprintWeights(model.files.checkpoint)}`;
  const path = join(resolve(folder), `int8-${fingerprintText(key).slice(-32)}.safetensors`);
  const layers = linearParameters(model);
  const found = (await kindOf(path)) === "file" ? await readSafetensorsHeader(path) : undefined;
  const whole = found !== undefined && found.metadata["key"] === key && isWhole(found, layers);
  if (!whole) {
    await makeFolder(resolve(folder));
    await writeSafetensors(
      path,
      [...layers].flatMap(([parameter, spec]) => int8Form(model, parameter, spec, largest)),
      { key },
    );
  }
  const file = whole ? found : await readSafetensorsHeader(path);
  const weightsFolder = commonFolder(model.weightsFolder, file.realPath);
  return {
    path,
    made: !whole,
    weightsFolder,
    locate: (name) => {
      const entry = file.entries.get(name);
      if (entry !== undefined) {
        return { location: locationIn(weightsFolder, file.realPath), offset: entry.offset, bytes: entry.bytes, storage: entry.dtype === "I8" ? "I8" : "F32" };
      }
      return relocated(model.locate(name), (location) => locationIn(weightsFolder, join(model.weightsFolder, location)));
    },
  };
}

/** The parameters that linear layers multiply by, the head's included, with the layer's form. */
function linearParameters({ inventory, architecture }: Pick<OpenModel, "inventory" | "architecture">): Map<string, LinearSpec> {
  return new Map([...inventory.linears, architecture.head].map(({ path, spec }) => [spec.tiedTo ?? `${path}.weight`, spec]));
}

function isWhole({ entries }: SafetensorsFile, layers: ReadonlyMap<string, LinearSpec>): boolean {
  return [...layers].every(([parameter, { inFeatures, outFeatures }]) => {
    const { weight, transposed } = int8Names(parameter);
    const shaped = (name: string, ...shape: readonly number[]): boolean => entries.get(name)?.shape.join() === shape.join();
    return (
      shaped(weight.codes, inFeatures, outFeatures) &&
      shaped(weight.scales, outFeatures) &&
      shaped(transposed.codes, outFeatures, inFeatures) &&
      shaped(transposed.scales, inFeatures)
    );
  });
}

/** The four tensors of a parameter; each is computed when its turn comes, scales and codes apart. */
function int8Form(model: OpenModel, parameter: string, { inFeatures, outFeatures, transposed: stored = false }: LinearSpec, largest: number): TensorToWrite[] {
  const names = int8Names(parameter);
  const form = ({ codes, scales }: (typeof names)["weight"], shape: readonly [number, number], transposed: boolean): TensorToWrite[] => {
    const quantize = async (): Promise<ReturnType<typeof quantizeInt8>> => quantizeInt8(await model.read(parameter), shape, { transposed, largest });
    return [
      { name: codes, dtype: "I8", shape, data: async () => new Uint8Array((await quantize()).codes.buffer) },
      { name: scales, dtype: "F32", shape: [shape[1]], data: async () => (await quantize()).scales },
    ];
  };
  // A checkpoint holds [out, in], unless the layer says otherwise.
  return [...form(names.weight, [inFeatures, outFeatures], !stored), ...form(names.transposed, [outFeatures, inFeatures], stored)];
}

/** A weight's place, its parts' too where it lies in four bits, as seen from another folder. */
function relocated(at: WeightLocation, from: (location: string) => string): WeightLocation {
  const moved = <Place extends FileBytes>(place: Place): Place => ({ ...place, location: from(place.location) });
  if (at.nf4 === undefined) return moved(at);
  const { codes, absmax } = at.nf4;
  const magnitudes = "nested" in absmax ? { ...absmax, codes: moved(absmax.codes), nested: moved(absmax.nested) } : moved(absmax);
  return { ...moved(at), nf4: { ...at.nf4, codes: moved(codes), absmax: magnitudes } };
}

/** ONNX Runtime reads all weights of a graph from under one folder. */
function commonFolder(a: string, b: string): string {
  const [left, right] = [a.split(sep), b.split(sep)];
  const same = left.findIndex((part, i) => part !== right[i]);
  const shared = left.slice(0, same < 0 ? left.length : same).join(sep);
  if (shared === "" && sep === "\\") {
    throw new GiantError("file", `the model lies in ${a} and its int8 form in ${b}, on another drive`, {
      hint: "Name a folder on the model's drive by --int8-cache.",
    });
  }
  return shared === "" ? sep : shared;
}

const locationIn = (folder: string, file: string): string => relative(folder, file).replaceAll(sep, "/");
