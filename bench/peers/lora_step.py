"""One training run of a Hugging Face causal language model with PyTorch and a method of PEFT (LoRA by default); prints one JSON line of measurements.

A step is zero_grad, forward, backward, clip_grad_norm_ and AdamW, as a training loop does it. The batch is made by the same
rule as in bench/inputs.ts, so two programs can be compared on the same tokens without sharing a file.
"""

import argparse
import json
import os
import statistics
import time


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="folder with config.json and model.safetensors")
    parser.add_argument("--adapter", help="PEFT adapter folder to start from; a new adapter (r=16, alpha=32, all-linear) otherwise")
    parser.add_argument("--method", default="lora", choices=["lora", "dora", "ia3", "prefix", "prompt", "adaption-prompt", "full"])
    parser.add_argument("--virtual-tokens", type=int, default=10, help="length of a prefix, a prompt or an adaption prompt")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--labelled", type=float, default=1.0, help="fraction of each row's tokens, at its end, that carry a loss")
    parser.add_argument("--recompute", action="store_true", help="gradient checkpointing")
    parser.add_argument("--dtype", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    return parser.parse_args()


def make_tokens(batch: int, length: int, vocabulary: int) -> list[list[int]]:
    """Tokens by a linear congruential generator (Numerical Recipes' constants), row after row."""
    state, rows = 1, []
    for _ in range(batch):
        row = []
        for _ in range(length):
            state = (state * 1664525 + 1013904223) % 2**32
            row.append((state >> 8) % vocabulary)
        rows.append(row)
    return rows


def method_config(peft, method: str, virtual_tokens: int, layers: int):
    """PEFT's configuration of a method, at the sizes that mini-giants takes by default; None for full tuning."""
    if method in ("lora", "dora"):
        return peft.LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear", use_dora=method == "dora", task_type="CAUSAL_LM")
    if method == "ia3":
        return peft.IA3Config(task_type="CAUSAL_LM")
    if method == "prefix":
        return peft.PrefixTuningConfig(num_virtual_tokens=virtual_tokens, task_type="CAUSAL_LM")
    if method == "prompt":
        return peft.PromptTuningConfig(num_virtual_tokens=virtual_tokens, task_type="CAUSAL_LM")
    if method == "adaption-prompt":
        return peft.AdaptionPromptConfig(adapter_len=virtual_tokens, adapter_layers=max(1, layers - 2), task_type="CAUSAL_LM")
    return None


def peak_rss_bytes() -> int:
    """The kernel's high-water mark of this process's resident memory."""
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no VmHWM")


def main() -> None:
    arguments = parse_arguments()
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    import peft
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    dtype = torch.float32 if arguments.dtype == "fp32" else torch.bfloat16
    model = transformers.AutoModelForCausalLM.from_pretrained(arguments.model, dtype=dtype)
    model.config.use_cache = arguments.method == "prefix"  # a prefix is handed over as a cache
    if arguments.adapter is None:
        config = method_config(peft, arguments.method, arguments.virtual_tokens, model.config.num_hidden_layers)
        if config is not None:
            model = peft.get_peft_model(model, config)
    else:
        model = peft.PeftModel.from_pretrained(model, arguments.adapter, is_trainable=True)
    if arguments.recompute:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    model.train()
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=arguments.learning_rate, weight_decay=0.0)

    tokens = torch.tensor(make_tokens(arguments.batch, arguments.length, model.config.vocab_size))
    labels = tokens.clone()
    labels[:, : arguments.length - round(arguments.length * arguments.labelled)] = -100

    seconds, losses = [], []
    for _ in range(arguments.warmup + arguments.steps):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = model(input_ids=tokens, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trainable, 1.0)
        optimizer.step()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
    timed = seconds[arguments.warmup :]
    median = statistics.median(timed)
    print(
        json.dumps(
            {
                "program": "pytorch",
                "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__},
                "trainableParameters": sum(parameter.numel() for parameter in trainable),
                "secondsPerStep": median,
                "fastestStep": min(timed),
                "tokensPerSecond": arguments.batch * arguments.length / median,
                "peakRssBytes": peak_rss_bytes(),
                "losses": losses,
            }
        )
    )


if __name__ == "__main__":
    main()
