// Lists the tensors of an adapter with the size of what each was taught.
//
//   node examples/adapter-tensors.js ADAPTER
//
// Reads any adapter in PEFT's layout; after `npm start` it runs without arguments on the one made then.
import { join } from "node:path";
import { readSafetensorsHeader, readTensor } from "mini-giants";

const [folder = "runs/demo-1/adapter"] = process.argv.slice(2);

const { entries } = await readSafetensorsHeader(join(folder, "adapter_model.safetensors"));
for (const entry of entries.values()) {
  const values = await readTensor(entry); // float32, whatever the file holds
  const norm = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  console.log(`${norm.toFixed(3).padStart(10)}  ${entry.dtype} [${entry.shape.join(", ")}]  ${entry.name}`);
}
