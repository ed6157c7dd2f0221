"""Greedy decoding from a bundle with numpy, onnxruntime and tokenizers alone.

python examples/embed_minimal.py BUNDLE "Name three colours of the rainbow."
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

bundle, question = Path(sys.argv[1]), sys.argv[2]
manifest = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
graph = next(g["path"] for g in manifest["graphs"] if g["layout"] == "slots")
session = ort.InferenceSession(str(bundle / graph), providers=["CPUExecutionProvider"])

MAX_TOKENS = 60
# What the default model's chat_template.jinja makes of one question.
system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
turns = (("system", system), ("user", question))
prompt = "".join(f"<|im_start|>{who}\n{text}<|im_end|>\n" for who, text in turns) + "<|im_start|>assistant\n"
new = tokenizer.encode(prompt, add_special_tokens=False).ids

room = len(new) + MAX_TOKENS  # M, the cache's length
binding = session.io_binding()
caches = []  # onnxruntime uses this memory in place: keep it alive
for value in session.get_inputs():
    if value.name.startswith("cache."):
        shape = [{"batch": 1, "cache_length": room}.get(d, d) for d in value.shape]
        caches.append(np.zeros(shape, np.float32))
        place = ("cpu", 0, np.float32, shape, caches[-1].ctypes.data)
        binding.bind_input(value.name, *place)
        binding.bind_output(value.name.replace("cache.", "updated."), *place)  # in place

answer, seen = [], 0
while len(answer) < MAX_TOKENS:
    inputs = {"input_ids": [new], "write_indices": [seen], "logit_indices": [[len(new) - 1]]}
    arrays = {name: np.array(numbers, np.int64) for name, numbers in inputs.items()}
    for name, array in arrays.items():
        binding.bind_cpu_input(name, array)
    binding.bind_output("logits", "cpu")
    session.run_with_iobinding(binding)
    logits = binding.get_outputs()[-1].numpy()  # (1, 1, vocab): outputs come in the order of binding
    seen += len(new)
    new = [int(logits[0, 0].argmax())]
    if new[0] in manifest["end_token_ids"]:
        break
    answer += new
print(tokenizer.decode(answer))
