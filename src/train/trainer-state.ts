/** `trainer_state.json` with the fields of Hugging Face's Trainer, derived from the events. */
import { checkpointName } from "./checkpoint.ts";
import type { RecordedEvent } from "./events.ts";

export interface TrainerSettings {
  readonly maxSteps: number;
  readonly epochs: number;
  readonly evalSteps: number;
  readonly saveSteps: number;
  readonly batchSize: number;
}

/** The state after the given events, as transformers' TrainerState spells it. */
export function trainerState(events: readonly RecordedEvent[], settings: TrainerSettings): Record<string, unknown> {
  let step = 0;
  let epoch = 0;
  let tokens = 0;
  let best: { readonly step: number; readonly loss: number } | null = null;
  const history: Record<string, number>[] = [];
  for (const event of events) {
    if (event.type === "step") {
      ({ step, epoch } = event);
      tokens += event.tokens;
      history.push({ epoch, grad_norm: event.gradientNorm, learning_rate: event.learningRate, loss: event.loss, step });
    } else if (event.type === "evaluation") {
      if (event.best) best = { step: event.step, loss: event.loss };
      history.push({ epoch: event.epoch, eval_loss: event.loss, eval_runtime: event.seconds, step: event.step });
    }
  }
  return {
    best_global_step: best?.step ?? null,
    best_metric: best?.loss ?? null,
    best_model_checkpoint: best === null ? null : `checkpoints/${checkpointName(best.step)}`,
    epoch,
    eval_steps: settings.evalSteps,
    global_step: step,
    is_hyper_param_search: false,
    is_local_process_zero: true,
    is_world_process_zero: true,
    log_history: history,
    logging_steps: 1,
    max_steps: settings.maxSteps,
    num_input_tokens_seen: tokens,
    num_train_epochs: settings.epochs,
    save_steps: settings.saveSteps,
    stateful_callbacks: {},
    total_flos: 0,
    train_batch_size: settings.batchSize,
    trial_name: null,
    trial_params: null,
  };
}
