"""The reference of the tokenizer-training cases: Hugging Face's BpeTrainer on a text of documents between lines <|endoftext|>.

Usage: reference.py TEXT VOCAB_SIZE OUTPUT.json
"""

import json
import sys

import tokenizers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

text, size, output = sys.argv[1:]
documents = [part.strip("\n") for part in open(text, newline="").read().split("<|endoftext|>\n")]
tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
trainer = trainers.BpeTrainer(
    vocab_size=int(size), min_frequency=2, special_tokens=specials, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
)
tokenizer.train_from_iterator(documents, trainer)
model = json.loads(tokenizer.to_str())["model"]
tokens = sorted(model["vocab"], key=model["vocab"].get)
json.dump({"tokenizers": tokenizers.__version__, "vocab_size": int(size), "tokens": tokens, "merges": model["merges"]}, open(output, "w"), ensure_ascii=False)
