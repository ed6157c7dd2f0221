"""Do a task with its bundle: numpy, onnxruntime and tokenizers alone. docs/task-file.md explains task.json.

nlpsuite export --task sentiment -o exported/sentiment
python task.py exported/sentiment "I love it." "It broke after a week."
python task.py exported/sentiment --check
python task.py exported/sentiment --precision int4 --check     # another of the bundle's graphs

Texts longer than the task's limit are refused, not split.
"""

import argparse
import json
import sys
from pathlib import Path

import choosing
import numpy as np
import prompt
import writing


class Task:
    """Task("exported/sentiment")("I love it.") gives the answer; a list of texts gives a list."""

    def __init__(self, bundle, precision=None):
        self.file = json.loads(Path(bundle, "task.json").read_text(encoding="utf-8"))
        if self.file.get("format") != "nlpsuite.task/1":
            raise ValueError(f"{bundle}/task.json is {self.file.get('format')!r}, not nlpsuite.task/1.")
        if self.file["model"]["layout"] != "portable":
            raise ValueError(f"{bundle} has another graph; export it with --layout portable.")
        if precision not in (None, self.file["model"]["precision"]):
            self.file = with_graph(self.file, precision)
        self.open(bundle)

    def open(self, bundle):
        import onnxruntime
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_file(str(Path(bundle, "tokenizer.json")))
        self.tokenizer.encode_special_tokens = True  # control tokens in a text are text
        self.vocabulary = self.tokenizer.get_vocab_size()
        graph = str(Path(bundle, self.file["model"]["graph"]))
        self.session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        self.caches = [i for i in self.session.get_inputs() if i.name.startswith("past_key_values.")]
        self.outputs = ["logits", *(i.name.replace("past_key_values", "present") for i in self.caches)]

    def __call__(self, texts, turns=()):
        if isinstance(texts, str):
            return self([texts], turns)[0]
        rows = [prompt.cut(self.file, text) for text in texts]
        units = [unit for row in rows for unit in row[::2] if unit.strip() or len(row) == 1]
        do = choosing.choose if self.file["kind"] == "choose" else writing.write
        answers = dict(zip(units, do(self, units, turns))) if units else {}
        return ["".join(answers.get(p, p) if i % 2 == 0 else p for i, p in enumerate(row)) for row in rows]

    def encode(self, text, choice="", turns=()):
        ids = prompt.encode(self.file, self.ids, text, choice, turns)
        if len(ids) > self.file["long_text"]["max_prompt_tokens"]:
            raise ValueError(f"The text is too long: {len(ids)} tokens.")
        return ids

    def ids(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, ids):
        return self.tokenizer.decode(ids)

    def read(self, rows, mask=None, past=None):
        """Logits (B, S, V) after new tokens, padded on the left, the mask (B, past + S) and the new past."""
        longest = max(map(len, rows))
        ids = np.array([[0] * (longest - len(row)) + list(row) for row in rows])
        new = np.array([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
        mask = new if mask is None else np.concatenate((mask, new), axis=1)
        positions = np.maximum(mask.cumsum(axis=1) - 1, 0)[:, -longest:]
        if past is None:
            types = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
            past = [np.zeros((len(rows), i.shape[1], 0, i.shape[3]), types[i.type]) for i in self.caches]
        inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": positions}
        inputs |= {cache.name: value for cache, value in zip(self.caches, past)}
        logits, *past = self.session.run(self.outputs, inputs)
        return logits.astype(np.float32), mask, past


def with_graph(file, precision):
    """The file with what is different for another graph."""
    for variant in file.get("variants", []):
        if variant["model"]["precision"] == precision:
            return file | {
                key: file[key] | value if isinstance(value, dict) else value for key, value in variant.items()
            }
    raise ValueError(f"This bundle has no {precision} graph.")


def main(kind):
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle")
    parser.add_argument("texts", nargs="*")
    parser.add_argument("--precision")
    parser.add_argument("--check", action="store_true", help="do the golden examples")
    options = parser.parse_args()
    task = kind(options.bundle, options.precision)
    if options.check:
        import check

        sys.exit(check.check(task) > 0)
    print(*task(options.texts), sep="\n")


if __name__ == "__main__":
    main(Task)
