/** Continues one text: opens a model, writes, closes. */
import { resolveOptions } from "../base/options.ts";
import { startEngine } from "../runtime/worker-engine.ts";
import { readAdapterChoices } from "../workbench/adapter-choice.ts";
import { openModel } from "../workbench/open-model.ts";
import { openTokenizer } from "../workbench/open-tokenizer.ts";
import { AdapterHost, selectionOf } from "./adapter-host.ts";
import { GENERATE_OPTIONS, type GenerateOptions } from "./generate-options.ts";
import type { Written } from "./writer.ts";

/**
 * Writes on from the prompt; `onText` hears each new piece as soon as it is certain. Options that are left out are those of
 * `mini-giants generate`.
 * @throws GiantError for a model, adapter, device or prompt that cannot be used.
 */
export async function complete(
  given: Partial<GenerateOptions> & Pick<GenerateOptions, "model" | "prompt">,
  onText: (piece: string) => void = () => undefined,
  signal?: AbortSignal,
): Promise<Written> {
  const options = resolveOptions(GENERATE_OPTIONS, given);
  const model = await openModel(options.model);
  const tokenizer = openTokenizer(model);
  const choices = readAdapterChoices(options.adapter);
  const engine = await startEngine({ device: options.device, ...(options.threads === undefined ? {} : { threads: options.threads }) });
  try {
    const host = new AdapterHost(engine, model, tokenizer);
    for (const { folder } of choices) await host.load(folder, folder);
    const adapters = selectionOf(choices.map(({ folder, weight }) => ({ name: folder, weight })));
    const prompt = tokenizer.encode(options.prompt, { addSpecialTokens: true });
    return await host.write(prompt, { ...options, adapters, onText, ...(signal ? { signal } : {}) });
  } finally {
    await engine.close();
  }
}
