"""The bundle with onnxruntime-genai: its own tokenizer, and its own loop, which pads on the right."""

import json
import sys

import numpy as np
import onnxruntime_genai as og


def main():
    job = json.load(sys.stdin)
    config = og.Config(job["bundle"])
    config.overlay(json.dumps({"model": {"decoder": {"filename": job["graph"]}}}))
    model = og.Model(config)
    tokenizer = og.Tokenizer(model)
    rows = [[int(i) for i in tokenizer.encode(text)] for text in job["texts"]]
    runs, logits, continuations = {}, {}, {}
    for mode in job["modes"]:
        if mode == "left":
            continue
        batches = [[i] for i in range(len(rows))] if mode == "single" else [list(range(len(rows)))]
        found = {}
        for batch in batches:
            found.update(zip(batch, greedy(model, tokenizer, [job["texts"][i] for i in batch], job)))
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


def greedy(model, tokenizer, texts, job):
    """For each text the tokens generated, and the logits after it."""
    longest = max(len(tokenizer.encode(text)) for text in texts)
    parameters = og.GeneratorParams(model)
    parameters.set_search_options(batch_size=len(texts), max_length=longest + job["tokens"])
    generator = og.Generator(model, parameters)
    generator.append_tokens(tokenizer.encode_batch(texts))
    first = np.array(generator.get_logits(), np.float32).reshape(len(texts), -1)
    while not generator.is_done():
        generator.generate_next_token()
    answers = []
    for i in range(len(texts)):
        out = [int(token) for token in generator.get_sequence(i)[longest:]]
        end = next((at for at, token in enumerate(out) if token in job["ends"]), len(out))
        answers.append((out[:end], first[i]))
    return answers


main()
