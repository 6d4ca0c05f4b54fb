"""The reference of the LLaMA-Adapter cases: PEFT's ADAPTION_PROMPT on golden models, with the batches of other cases.

Usage: reference.py GOLDEN_FOLDER
Prompts and gates are random, the gates not zero, so that everything counts. Writes for each case the adapter's folder as
PEFT writes it, reference.json, expected.safetensors and final_adapter.safetensors beside this file.
"""

import json
import os
import sys

import torch
from peft import AdaptionPromptConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

golden = sys.argv[1]
here = os.path.dirname(os.path.abspath(__file__))
CASES = {
    "adaption_prompt_llama_gqa": ("lora/lora_qv", 2),
    "adaption_prompt_mistral_swa": ("prompt_learning/prefix_mistral_swa", 1),
    "adaption_prompt_gpt2": ("lora/lora_gpt2", 2),
}


def logits_and_loss(model, batch):
    mask = batch.get("attention_mask")
    ids = torch.tensor(batch["input_ids"])
    out = model(
        input_ids=ids,
        attention_mask=torch.tensor(mask) if mask else torch.ones_like(ids),
        labels=torch.tensor(batch["labels"]),
        use_cache=False,
    )
    return out.logits, out.loss


for name, (source, layers) in CASES.items():
    given = json.load(open(f"{golden}/{source}/reference.json"))
    torch.manual_seed(1)
    base = AutoModelForCausalLM.from_pretrained(f"{golden}/{given['base_model']}", attn_implementation="eager", dtype=torch.float32)
    config = AdaptionPromptConfig(task_type="CAUSAL_LM", adapter_len=6, adapter_layers=layers)
    model = get_peft_model(base, config)
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    for n, p in trained.items():
        p.data = torch.randn_like(p) * (0.7 if n.endswith("adaption_gate") else 1.0)
    folder = f"{here}/{name}"
    model.save_pretrained(folder)
    path = f"{folder}/adapter_config.json"
    saved = json.load(open(path))
    saved["base_model_name_or_path"] = given["base_model"]
    json.dump(saved, open(path, "w"), indent=2)
    if os.path.exists(f"{folder}/README.md"):
        os.remove(f"{folder}/README.md")
    state = get_peft_model_state_dict(model)
    key_of = {n: next(k for k, v in state.items() if v.data_ptr() == p.data_ptr()) for n, p in trained.items()}

    expected, batches = {}, {}
    for batch_name in ("plain", "right_padded"):
        batch = {k: v for k, v in given["batches"][batch_name].items() if k in ("input_ids", "attention_mask", "labels")}
        model.zero_grad()
        logits, loss = logits_and_loss(model, batch)
        loss.backward()
        mask = torch.tensor(batch["attention_mask"]) if batch.get("attention_mask") else torch.ones(logits.shape[:2])
        expected[f"{batch_name}.logits"] = (logits * mask[..., None]).detach().contiguous()
        for n, p in trained.items():
            expected[f"{batch_name}.grad.{key_of[n]}"] = p.grad.clone()
        batches[batch_name] = {**batch, "loss": loss.item()}
    save_file(expected, f"{folder}/expected.safetensors")

    prompt = given["batches"]["plain"]["input_ids"][0][:8]
    tokens, margins = list(prompt), []
    with torch.no_grad():
        for _ in range(16):
            top = model(input_ids=torch.tensor([tokens]), attention_mask=torch.ones(1, len(tokens), dtype=torch.long), use_cache=False).logits[0, -1].topk(2)
            tokens.append(top.indices[0].item())
            margins.append((top.values[0] - top.values[1]).item())
    reference = {
        "base_model": given["base_model"],
        "versions": {"torch": torch.__version__, "transformers": __import__("transformers").__version__, "peft": __import__("peft").__version__},
        "trainable": sum(p.numel() for p in trained.values()),
        "batches": batches,
        "greedy16_no_cache": {"prompt": [prompt], "new_tokens": [tokens[8:]], "min_top1_top2_margin": min(margins)},
    }
    if "training" in given:
        training = given["training"]
        h = training["hyperparameters"]
        optimizer = torch.optim.AdamW(trained.values(), lr=1.0, betas=tuple(h["betas"]), eps=h["eps"], weight_decay=h["weight_decay"])
        steps = []
        for i, rate in enumerate(s["lr"] for s in training["steps"] if s["step"] != "final"):
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad()
            _, loss = logits_and_loss(model, training["batches"][i % len(training["batches"])])
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(trained.values(), h["max_grad_norm"])
            optimizer.step()
            steps.append({"step": i, "lr": rate, "loss": loss.item(), "grad_norm_before_clip": norm.item()})
        reference["training"] = {"hyperparameters": h, "batches": training["batches"], "steps": steps}
        save_file({key_of[n]: p.detach().clone() for n, p in trained.items()}, f"{folder}/final_adapter.safetensors")
    json.dump(reference, open(f"{folder}/reference.json", "w"))
    print(name, sorted(state), {k: tuple(v.shape) for k, v in list(state.items())[:2]}, reference["trainable"], batches["plain"]["loss"], min(margins))
