"""The reference of weighted sums of adapters: PEFT's add_weighted_adapter with combination_type="cat".

Usage: reference.py GOLDEN_FOLDER CASE_FOLDER
CASE_FOLDER/case.json names the base model, the adapters with their weights and the case whose batches are taken. Writes
reference.json, expected.safetensors (logits, 0 where a token is padding) and the combined adapter as PEFT saves it.
"""

import json
import os
import shutil
import sys

import peft
import torch
import transformers
from safetensors.torch import save_file

golden, folder = sys.argv[1:]
case = json.load(open(f"{folder}/case.json"))
base = transformers.AutoModelForCausalLM.from_pretrained(f"{golden}/{case['base_model']}", dtype=torch.float32, attn_implementation="eager")
names, weights = [], []
for i, part in enumerate(case["adapters"]):
    name = f"part{i}"
    path = f"{golden}/{part['folder']}"
    if i == 0:
        model = peft.PeftModel.from_pretrained(base, path, adapter_name=name)
    else:
        model.load_adapter(path, adapter_name=name)
    names.append(name)
    weights.append(part["weight"])
model.add_weighted_adapter(names, weights, "sum", combination_type="cat")
model.set_adapter("sum")
model.eval()
batches = json.load(open(f"{golden}/{case['batches']}/reference.json"))["batches"]
expected = {}
for name, batch in batches.items():
    ids = torch.tensor(batch["input_ids"])
    mask = torch.tensor(batch.get("attention_mask", torch.ones_like(ids).tolist()))
    arguments = {"input_ids": ids, "attention_mask": mask}
    if "position_ids" in batch:
        arguments["position_ids"] = torch.tensor(batch["position_ids"])
    with torch.no_grad():
        expected[f"{name}.logits"] = (model(**arguments).logits * mask[..., None]).contiguous()
save_file(expected, f"{folder}/expected.safetensors")
model.save_pretrained(f"{folder}/saved", selected_adapters=["sum"])
for name in ["adapter_config.json", "adapter_model.safetensors"]:
    shutil.move(f"{folder}/saved/sum/{name}", f"{folder}/{name}")
shutil.rmtree(f"{folder}/saved")
versions = {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__}
json.dump({"versions": versions, "base_model": case["base_model"], "batches": batches}, open(f"{folder}/reference.json", "w"), indent=1)
