"""The reference of the pretraining cases: transformers' LLaMA, PyTorch's AdamW and transformers' schedule, on given batches.

Usage: reference.py CASE_FOLDER INITIAL.safetensors STEPS.json CONFIG.json
STEPS.json holds, for each optimiser step, its micro-batches (tokens, positions, segments, labelRows, labelIds), the held-out
batches, and the options; INITIAL.safetensors the first weights. Weight decay falls on matrices only. Writes reference.json
and final_weights.safetensors.
"""

import json
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM, get_cosine_schedule_with_warmup

folder, initial, steps_file, config_file = sys.argv[1:]
torch.manual_seed(0)
run = json.load(open(steps_file))
options = run["options"]
config = LlamaConfig(**json.load(open(config_file)))
config._attn_implementation = "eager"
model = LlamaForCausalLM(config)
missing, unexpected = model.load_state_dict(load_file(initial), strict=False)
assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
model.tie_weights()


def loss_sum(batch):
    shape = (batch["rows"], batch["length"])
    tokens, positions, segments = (torch.tensor(batch[key]).view(shape) for key in ("tokens", "positions", "segments"))
    same = (segments[:, None, :, None] == segments[:, None, None, :]) & (positions[:, None, :, None] >= positions[:, None, None, :])
    mask = torch.where(same, 0.0, -1e30)
    logits = model(input_ids=tokens, position_ids=positions, attention_mask=mask).logits.flatten(0, 1)
    rows, ids = torch.tensor(batch["labelRows"]), torch.tensor(batch["labelIds"])
    return torch.nn.functional.cross_entropy(logits[rows], ids, reduction="sum")


def held_out():
    with torch.no_grad():
        return sum(loss_sum(batch).item() for batch in run["held"]) / sum(len(batch["labelIds"]) for batch in run["held"])


parameters = dict(model.named_parameters())
groups = [
    {"params": [p for p in parameters.values() if p.ndim > 1], "weight_decay": options["weightDecay"]},
    {"params": [p for p in parameters.values() if p.ndim == 1], "weight_decay": 0.0},
]
optimizer = torch.optim.AdamW(groups, lr=options["learningRate"], betas=(options["adamBeta1"], options["adamBeta2"]), eps=options["adamEpsilon"])
schedule = get_cosine_schedule_with_warmup(optimizer, options["warmupSteps"], options["maxSteps"])
steps, validation = [], [{"step": 0, "loss": held_out()}]
for number, batches in enumerate(run["steps"], 1):
    labelled = sum(len(batch["labelIds"]) for batch in batches)
    optimizer.zero_grad()
    losses = []
    for batch in batches:
        loss = loss_sum(batch) / labelled
        loss.backward()
        losses.append(loss.item())
    norm = torch.nn.utils.clip_grad_norm_(parameters.values(), options["maxGradNorm"])
    steps.append({"step": number, "loss": sum(losses), "lr": schedule.get_last_lr()[0], "grad_norm": norm.item(), "tokens": labelled})
    optimizer.step()
    schedule.step()
    if number % options["evalSteps"] == 0:
        validation.append({"step": number, "loss": held_out()})
versions = {"torch": torch.__version__, "transformers": __import__("transformers").__version__}
json.dump({"versions": versions, "bytes": run["bytes"], "steps": steps, "validation": validation}, open(f"{folder}/reference.json", "w"), indent=1)
save_file({name: p.detach().contiguous() for name, p in parameters.items() if name != "lm_head.weight"}, f"{folder}/final_weights.safetensors")
print(steps[0], steps[-1], validation)
