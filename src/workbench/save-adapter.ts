/** Writes an adapter folder that the method's own library reads, with the base's fingerprints beside it; a fully tuned model as a model folder. */
import { basename, join, resolve } from "node:path";
import { invariant } from "../base/errors.ts";
import { replaceFolderAtomic, writeFileAtomic } from "../io/atomic.ts";
import { writeSafetensors } from "../io/safetensors-writer.ts";
import type { AdapterLayout } from "../peft/method.ts";
import type { LoadedAdapter } from "./adapter.ts";
import { FINGERPRINTS_FILE, fingerprintsOf } from "./fingerprints.ts";
import { ADAPTER_CONFIG } from "./load-adapter.ts";
import { writeModelFolder } from "./model-writer.ts";
import type { OpenModel } from "./open-model.ts";

/** Replaces `folder` at once with the adapter's files. */
export async function saveAdapter(folder: string, adapter: LoadedAdapter, model: OpenModel): Promise<void> {
  const { method } = adapter;
  const { layout } = method;
  invariant(method.exported === undefined, `a ${method.name} adapter is exported before it is saved`);
  if (layout === undefined) {
    await writeModelFolder(folder, model, (name) => adapter.tensors.get(name)?.data as Float32Array | undefined);
    return;
  }
  const base = await fingerprintsOf(model);
  await replaceFolderAtomic(folder, async (temporary) => {
    await writeFileAtomic(join(temporary, ADAPTER_CONFIG), `${configText(layout, model.folder)}\n`);
    const tensors = [...method.tensors].map(([name, { shape }]) => ({ name, dtype: "F32", shape, data: adapter.tensors.get(name)!.data as Float32Array }));
    await writeSafetensors(join(temporary, layout.weightsFile), tensors, { format: "pt" });
    const card = { format: 1, base: { name: basename(resolve(model.folder)), ...base } };
    await writeFileAtomic(join(temporary, FINGERPRINTS_FILE), `${JSON.stringify(card, null, 2)}\n`);
  });
}

/** The configuration as JSON, where whole numbers of fields that Python must read as floats end in ".0". */
function configText({ config, floats = [] }: AdapterLayout, base: string): string {
  // Line ends within texts are escaped, so that a line begins with a field only where one is.
  const whole = new RegExp(`^( +"(?:${floats.join("|")})": -?\\d+)(,?)$`, "gm");
  const text = JSON.stringify(config(base), null, 2);
  return floats.length === 0 ? text : text.replace(whole, "$1.0$2");
}
