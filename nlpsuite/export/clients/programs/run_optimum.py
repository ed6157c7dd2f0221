"""The bundle with optimum's ORTModelForCausalLM and transformers' generate, padded on the left."""

import json
import sys

import optimum.version
import torch
from optimum.onnxruntime import ORTModelForCausalLM
from transformers import AutoTokenizer


def main():
    job = json.load(sys.stdin)
    tokenizer = AutoTokenizer.from_pretrained(job["bundle"], padding_side="left")
    folder, _, name = job["graph"].rpartition("/")
    model = ORTModelForCausalLM.from_pretrained(job["bundle"], subfolder=folder, file_name=name)
    rows = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in job["texts"]]
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token_id = job["ends"][0]
    runs, logits, continuations = {}, {}, {}
    for mode in job["modes"]:
        if mode == "right":
            continue
        batches = [[i] for i in range(len(rows))] if mode == "single" else [list(range(len(rows)))]
        found = {}
        for batch in batches:
            texts = [job["texts"][i] for i in batch]
            inputs = tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")
            inputs.pop("token_type_ids", None)
            output = model.generate(
                **inputs,
                max_new_tokens=job["tokens"],
                do_sample=False,
                num_beams=1,
                eos_token_id=job["ends"],
                pad_token_id=tokenizer.pad_token_id,
                output_logits=True,
                return_dict_in_generate=True,
            )
            width = inputs["input_ids"].shape[1]
            for i, row, first in zip(batch, output.sequences, output.logits[0]):
                out = row[width:].tolist()
                end = next((at for at, token in enumerate(out) if token in job["ends"]), len(out))
                found[i] = out[:end], first.to(torch.float32).numpy()
        runs[mode] = [found[i][0] for i in range(len(rows))]
        continuations[mode] = [tokenizer.decode(out, skip_special_tokens=True) for out in runs[mode]]
        logits[mode] = [found[i][1][watch].tolist() for i, watch in enumerate(job["watch"])]
    version = optimum.version.__version__
    texts = {"continuations": continuations}
    print(json.dumps({"version": version, "ids": rows, "runs": runs, "logits": logits, **texts}))


main()
