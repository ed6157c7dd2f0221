"""The bundle with onnxruntime-genai: its own tokenizer, and its own loop, which pads on the right."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import onnxruntime_genai as og


def main():
    job = json.load(sys.stdin)
    config = og.Config(job["bundle"])
    config.overlay(json.dumps({"model": {"decoder": {"filename": job["graph"]}}}))
    model = og.Model(config)
    tokenizer = og.Tokenizer(model)
    rows = [
        [int(i) for piece in pieces(job["bundle"], text) for i in tokenizer.encode(piece)]
        for text in job["texts"]
    ]
    padding = json.loads(Path(job["bundle"], "genai_config.json").read_text("utf-8"))["model"]["pad_token_id"]
    runs, logits, continuations = {}, {}, {}
    for mode in job["modes"]:
        if mode == "left":
            continue
        batches = [[i] for i in range(len(rows))] if mode == "single" else [list(range(len(rows)))]
        found = {}
        for batch in batches:
            found.update(zip(batch, greedy(model, [rows[i] for i in batch], padding, job)))
        runs[mode] = [found[i][0] for i in range(len(rows))]
        continuations[mode] = [decoded(tokenizer, out) for out in runs[mode]]
        logits[mode] = [found[i][1][watch].tolist() for i, watch in enumerate(job["watch"])]
    texts = {"continuations": continuations}
    print(json.dumps({"version": og.__version__, "ids": rows, "runs": runs, "logits": logits, **texts}))


def decoded(tokenizer, ids):
    """The text of tokens; None for bytes that are no text, which the library doesn't decode."""
    try:
        return tokenizer.decode(np.array(ids, np.int32)) if ids else ""
    except Exception:
        return None


def pieces(bundle, text):
    """A text as the library's tokenizer must have it: GPT-2's split leaves the last of several spaces or line breaks to
    what follows, but the library takes them all together."""
    tokenizer = json.loads(Path(bundle, "tokenizer.json").read_text("utf-8"))
    if '"use_regex": true' not in json.dumps(tokenizer["pre_tokenizer"]):
        return [text]
    return re.split(r"(?<=\s)(?=\s[^\s\d])", text)


def greedy(model, rows, padding, job):
    """For each row the tokens generated, and the logits after it."""
    longest = max(map(len, rows))
    parameters = og.GeneratorParams(model)
    parameters.set_search_options(batch_size=len(rows), max_length=longest + job["tokens"])
    generator = og.Generator(model, parameters)
    padded = [[*row, *[padding] * (longest - len(row))] for row in rows]
    generator.append_tokens(np.array(padded, np.int32))
    first = np.array(generator.get_logits(), np.float32).reshape(len(rows), -1)
    while not generator.is_done():
        generator.generate_next_token()
    answers = []
    for i in range(len(rows)):
        out = [int(token) for token in generator.get_sequence(i)[longest:]]
        end = next((at for at, token in enumerate(out) if token in job["ends"]), len(out))
        answers.append((out[:end], first[i]))
    return answers


main()
