"""The portable graph with onnxruntime, tokenizers and numpy alone, padded on either side."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer


def main():
    job = json.load(sys.stdin)
    bundle = Path(job["bundle"])
    tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
    rows = [tokenizer.encode(text, add_special_tokens=False).ids for text in job["texts"]]
    session = onnxruntime.InferenceSession(str(bundle / job["graph"]), providers=["CPUExecutionProvider"])
    runs, logits, continuations = {}, {}, {}
    for mode in job["modes"]:
        batches = [[i] for i in range(len(rows))] if mode == "single" else [list(range(len(rows)))]
        found = {}
        for batch in batches:
            answers = greedy(session, [rows[i] for i in batch], job["tokens"], job["ends"], mode == "right")
            found.update(zip(batch, answers))
        runs[mode] = [found[i][0] for i in range(len(rows))]
        continuations[mode] = [tokenizer.decode(out) for out in runs[mode]]
        logits[mode] = [found[i][1][watch].tolist() for i, watch in enumerate(job["watch"])]
    versions = f"onnxruntime {onnxruntime.__version__}"
    texts = {"continuations": continuations}
    print(json.dumps({"version": versions, "ids": rows, "runs": runs, "logits": logits, **texts}))


def greedy(session, rows, tokens, ends, right):
    """For each row the tokens generated, and the logits after its prompt."""
    caches = [i for i in session.get_inputs() if i.name.startswith("past_key_values.")]
    types = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
    past = {i.name: np.zeros((len(rows), i.shape[1], 0, i.shape[3]), types[i.type]) for i in caches}
    names = ["logits", *(i.name.replace("past_key_values", "present") for i in caches)]
    longest = max(map(len, rows))
    padding = [(0, longest - len(row)) if right else (longest - len(row), 0) for row in rows]
    ids = np.array([np.pad(row, pad) for row, pad in zip(rows, padding)], np.int64)
    mask = np.array([np.pad(np.ones(len(row), np.int64), pad) for row, pad in zip(rows, padding)])
    drawn, first = [[] for _ in rows], None
    for _ in range(tokens):
        positions = np.maximum(mask.cumsum(axis=1) - 1, 0)[:, -ids.shape[1] :]
        feed = {"input_ids": ids, "attention_mask": mask, "position_ids": positions, **past}
        logits, *present = session.run(names, feed)
        last = [len(row) - 1 if right and first is None else -1 for row in rows]
        each = np.array([logits[i, at] for i, at in enumerate(last)], np.float32)
        first = each if first is None else first
        past = dict(zip(past, present))
        ids = each.argmax(axis=-1)[:, None].astype(np.int64)
        mask = np.concatenate((mask, np.ones_like(ids)), axis=1)
        for out, token in zip(drawn, ids[:, 0].tolist()):
            out.append(token)
    cut = [next((i for i, token in enumerate(out) if token in ends), len(out)) for out in drawn]
    return [(out[:end], row) for out, end, row in zip(drawn, cut, first)]


main()
