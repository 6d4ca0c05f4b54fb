// Tunes a LoRA adapter and lets it answer.
//
//   node examples/tune-and-generate.js MODEL DATA OUTPUT
//
// After `npm start` it runs without arguments on the model and the data that were made then.
import { Conversation, GiantError, nodePlatform, tune } from "mini-giants";

const [model = "runs/demo-1-model", data = "runs/demo-1-data.jsonl", output = "runs/example"] = process.argv.slice(2);

try {
  const options = { model, data, output, modulesToSave: ["lm_head"], learningRate: 0.01, batchSize: 16, maxLength: 128, maxSteps: 60, evalSteps: 20 };
  for await (const event of tune(options, nodePlatform())) {
    if (event.type === "evaluation") console.log(`step ${event.step}: ${event.loss.toFixed(3)} nats per token on held-out examples`);
  }

  const conversation = await Conversation.open({ model, adapter: `${output}/adapter`, greedy: true, maxTokens: 24 });
  const { text } = await conversation.say("Ada has a cow. What does it say?");
  await conversation.close();
  console.log(`answer: ${text}`);
} catch (error) {
  if (!(error instanceof GiantError)) throw error;
  console.error(`${error.message}\n${error.hint ?? ""}`);
  process.exitCode = 1;
}
