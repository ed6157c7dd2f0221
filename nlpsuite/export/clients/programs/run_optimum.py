"""The bundle with optimum's ORTModelForCausalLM and transformers' generate, which wants padding on the left; on the right
only the prompts are read."""

import json
import sys

import optimum.version
import torch
from optimum.onnxruntime import ORTModelForCausalLM
from transformers import AutoTokenizer


def main():
    job = json.load(sys.stdin)
    tokenizer = AutoTokenizer.from_pretrained(job["bundle"])
    folder, _, name = job["graph"].rpartition("/")
    model = ORTModelForCausalLM.from_pretrained(job["bundle"], subfolder=folder, file_name=name)
    rows = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in job["texts"]]
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token_id = job["ends"][0]
    found = {
        "version": optimum.version.__version__,
        "ids": rows,
        "runs": {},
        "logits": {},
        "continuations": {},
    }
    for mode in job["modes"]:
        tokenizer.padding_side = "right" if mode == "right" else "left"
        batches = [[i] for i in range(len(rows))] if mode == "single" else [list(range(len(rows)))]
        read, drawn = {}, {}
        for batch in batches:
            texts = [job["texts"][i] for i in batch]
            inputs = tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")
            inputs.pop("token_type_ids", None)
            if mode == "right":
                logits = model(**inputs).logits
                read.update((i, logits[at, len(rows[i]) - 1]) for at, i in enumerate(batch))
                continue
            output = generate(model, inputs, job, tokenizer.pad_token_id)
            read.update(zip(batch, output.logits[0]))
            drawn.update(zip(batch, output.sequences[:, inputs["input_ids"].shape[1] :].tolist()))
        found["logits"][mode] = [read[i][list(ids)].tolist() for i, ids in enumerate(job["watch"])]
        if mode != "right":
            runs = [ended(drawn[i], job["ends"]) for i in range(len(rows))]
            found["runs"][mode] = runs
            found["continuations"][mode] = [tokenizer.decode(row, skip_special_tokens=True) for row in runs]
    print(json.dumps(found))


def generate(model, inputs, job, pad):
    return model.generate(
        **inputs,
        max_new_tokens=job["tokens"],
        do_sample=False,
        num_beams=1,
        eos_token_id=job["ends"],
        pad_token_id=pad,
        output_logits=True,
        return_dict_in_generate=True,
    )


def ended(row, ends):
    return row[: next((at for at, token in enumerate(row) if token in ends), len(row))]


with torch.inference_mode():
    main()
