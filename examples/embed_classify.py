"""A classifier in another app: a bundle with an adapter of classify, numpy, onnxruntime and tokenizers alone.

python examples/embed_classify.py BUNDLE "I was charged twice."
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

bundle, text = Path(sys.argv[1]), sys.argv[2]
manifest = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
adapter = manifest["adapter"]
labels = adapter["options"]["labels"].split(",")  # or by line breaks, if they have commas in them
tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
graph = next(g["path"] for g in manifest["graphs"] if g["layout"] == "slots")
settings = ort.SessionOptions()
settings.log_severity_level = (
    3  # else it warns that the caches aren't updated in place, which one run doesn't need
)
session = ort.InferenceSession(str(bundle / graph), settings, providers=["CPUExecutionProvider"])

# One row for each label: the prompt that the adapter was trained on, then the label.
prompt = f"{text.strip()}\nCategory:"
rows = [tokenizer.encode(f"{prompt} {label}", add_special_tokens=False).ids for label in labels]
first = len(tokenizer.encode(prompt, add_special_tokens=False).ids)  # position of a label's first token
longest = max(map(len, rows))
inputs = {
    "input_ids": np.array([row + [0] * (longest - len(row)) for row in rows]),  # padded on the right
    "write_indices": np.zeros(len(rows), np.int64),
    # A token's probability is in the logits after the token before it.
    "logit_indices": np.tile(np.arange(first - 1, longest - 1), (len(rows), 1)),
}
for value in session.get_inputs():
    if value.name.startswith("cache."):
        shape = [{"batch": len(rows), "cache_length": longest}.get(size, size) for size in value.shape]
        inputs[value.name] = np.zeros(shape, np.float32)
[logits] = session.run(["logits"], inputs)

logits -= logits.max(-1, keepdims=True)
logprobs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
scores = [
    sum(logprobs[i, at - first, row[at]] for at in range(first, len(row))) for i, row in enumerate(rows)
]
scores = np.array(scores) / adapter["temperature"]
probabilities = np.exp(scores - scores.max())
probabilities /= probabilities.sum()
for label, probability in sorted(zip(labels, probabilities), key=lambda pair: -pair[1]):
    print(f"{label}: {probability:.2%}")
