// Tunes a LoRA adapter and lets it answer.
//
//   node examples/tune-and-generate.js MODEL DATA OUTPUT
//
// In a clone it runs without arguments on pebble and questions about stories.
import { Conversation, GiantError, nodePlatform, tune } from "mini-giants";

const [model = "models/pebble", data = "datasets/fairytale-qa/train.jsonl", output = "runs/example"] = process.argv.slice(2);

try {
  const options = { model, data, output, learningRate: 0.003, batchSize: 16, maxLength: 128, maxSteps: 40, evalSteps: 20 };
  for await (const event of tune(options, nodePlatform())) {
    if (event.type === "evaluation") console.log(`step ${event.step}: ${event.loss.toFixed(3)} nats per token on held-out examples`);
  }

  const conversation = await Conversation.open({ model, adapter: [`${output}/adapter`], greedy: true, maxTokens: 24 });
  const { text } = await conversation.say("The old king lived in a castle of glass. Where did the king live?");
  await conversation.close();
  console.log(`answer: ${text.trim()}`);
} catch (error) {
  if (!(error instanceof GiantError)) throw error;
  console.error(`${error.message}\n${error.hint ?? ""}`);
  process.exitCode = 1;
}
