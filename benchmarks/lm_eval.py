"""Scoring of SST-2 beside lm-evaluation-harness: the same model, prompts, choices and rows; rows/s and accuracy.

    python -m venv harness && harness/bin/pip install 'lm_eval[hf]==0.4.13'
    python benchmarks/lm_eval.py harness/bin/python path/to/dev.tsv [--limit 64]

Our task's prompts are written to a file, beside the base as a Hugging Face directory and a multiple_choice task
of the harness that reads them. The harness runs on the CPU in the given Python, in batches of 16. On both sides the
clock starts when the model is loaded and two rows have been scored: the first call is slower, and ours reads its
calibration prompts then. Two times are given for the harness: of the whole evaluation, to compare with ours, and of
its model calls alone. Ours runs without calibration, which the harness lacks, and with it, the default.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nlpsuite
from nlpsuite.data.examples import read_examples
from nlpsuite.data.record import Record
from nlpsuite.models.checkpoint_write import write_checkpoint
from nlpsuite.models.resolve import open_model, resolve_spec
from nlpsuite.plugins import load_task
from nlpsuite.tasks.preview import preview

TASK = """\
task: sst2_same_prompt
dataset_path: json
dataset_kwargs:
  data_files:
    validation: {rows}
output_type: multiple_choice
validation_split: validation
doc_to_text: "{{{{prompt}}}}"
doc_to_choice: {choices}
doc_to_target: gold
target_delimiter: " "
metric_list:
  - metric: acc
"""

CHILD = """
import json, sys, time
import torch
options = json.loads(sys.argv[1])
torch.set_num_threads(options["threads"])
import lm_eval
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
model = HFLM(pretrained=options["model"], dtype=options["dtype"], batch_size=options["batch"], device="cpu")
calls = 0.0
original = model.loglikelihood
def timed(*args, **keywords):
    global calls
    begin = time.perf_counter()
    try:
        return original(*args, **keywords)
    finally:
        calls += time.perf_counter() - begin
model.loglikelihood = timed
manager = TaskManager(include_path=options["tasks"])
def evaluate(**keywords):
    return lm_eval.simple_evaluate(
        model=model, tasks=["sst2_same_prompt"], task_manager=manager, bootstrap_iters=0, **keywords
    )
evaluate(limit=2)
calls = 0.0
begin = time.perf_counter()
results = evaluate()
whole = time.perf_counter() - begin
answers = [s["filtered_resps"] for s in sorted(results["samples"]["sst2_same_prompt"], key=lambda s: s["doc_id"])]
given = [max(range(len(a)), key=lambda i: float(a[i][0])) for a in answers]
print("RESULT" + json.dumps({
    "whole": whole, "calls": calls, "given": given,
    "accuracy": results["results"]["sst2_same_prompt"]["acc,none"],
}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("python", help="an interpreter that has lm_eval, torch, transformers and datasets")
    parser.add_argument("data", help="lines `label<TAB>sentence` after a header, 1 for positive")
    parser.add_argument("--limit", type=int, help="only the first rows")
    parser.add_argument("--quick", action="store_const", const=32, dest="limit", help="only 32 rows")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--dtypes", default="float32,bfloat16", help="of the harness")
    parser.add_argument("--precisions", default="fp32,int8", help="of ours")
    args = parser.parse_args()
    task = load_task("sentiment")
    examples = list(read_examples(args.data, task))[: args.limit]
    texts = [example.record.text for example in examples]
    gold = [task.reference(example.reference) for example in examples]
    lines = [
        f"{len(texts):,} rows, {args.threads} threads, SmolLM2-135M-Instruct, the prompts of `sentiment`.",
        "",
        "| system | rows/s, evaluation | rows/s, model alone | accuracy | same answers as the first |",
        "|---|---|---|---|---|",
    ]
    first: list[str] = []

    def add(system: str, whole: float, calls: float | None, answers: Sequence[str]) -> None:
        first.extend(answers if not first else [])
        right = sum(a == b for a, b in zip(answers, gold)) / len(gold)
        half_width = 1.96 * (right * (1 - right) / len(gold)) ** 0.5
        same = sum(a == b for a, b in zip(answers, first))
        alone = f"{len(gold) / calls:.2f}" if calls else ""
        lines.append(f"| {system} | {len(gold) / whole:.2f} | {alone} | {right:.1%} ± {half_width:.1%} | "
                     f"{same} of {len(gold)} |")  # fmt: skip
        print(lines[-1], file=sys.stderr, flush=True)

    for precision in args.precisions.split(","):
        for calibrate in (False, True):
            answers, seconds = ours(precision, args.threads, texts, calibrate)
            add(f"nlpsuite, {precision}{', calibrated' * calibrate}", seconds, None, answers)
    with tempfile.TemporaryDirectory() as directory:
        choices = write_files(Path(directory), texts, gold)
        for dtype in args.dtypes.split(","):
            found = theirs(args, Path(directory), dtype)
            answers = [choices[i] for i in found["given"]]
            add(
                f"lm-evaluation-harness, {dtype}, batches of {args.batch}",
                found["whole"],
                found["calls"],
                answers,
            )
    print("\n".join(lines))


def ours(precision: str, threads: int, texts: Sequence[str], calibrate: bool) -> tuple[list[str], float]:
    pipeline = nlpsuite.load(
        "sentiment", precision=precision, device="cpu", threads=threads, calibrate=calibrate
    )
    pipeline.map(texts[:2])
    return timed(lambda: [output.label for output in pipeline.map(texts)])


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    begin = time.perf_counter()
    result = work()
    return result, time.perf_counter() - begin


def write_files(place: Path, texts: Sequence[str], gold: Sequence[str]) -> list[str]:
    """The model, the rows and the task of the harness; gives the choices."""
    with open_model(resolve_spec(None), place) as checkpoint:
        tensors = {name: checkpoint.tensor(name) for name in checkpoint.tensor_names()}
        write_checkpoint(place / "model", checkpoint.config, tensors, checkpoint.tokenizer_files())
    pipeline = nlpsuite.load("sentiment", device="cpu")
    bundle, tokenizer = pipeline.model.bundle, pipeline.model.tokenizer
    choices: list[str] = []
    with (place / "rows.jsonl").open("w", encoding="utf-8") as file:
        for text, label in zip(texts, gold):
            (prompt,) = preview(load_task("sentiment"), Record(text), {}, bundle, tokenizer).prompts
            choices = [choice.strip() for choice in prompt.choices]
            assert all(choice == f" {word}" for choice, word in zip(prompt.choices, choices))
            row = {"prompt": prompt.text, "gold": choices.index(label)}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    (place / "tasks").mkdir()
    written = TASK.format(rows=place / "rows.jsonl", choices=json.dumps(choices))
    (place / "tasks" / "sst2_same_prompt.yaml").write_text(written, encoding="utf-8")
    return choices


def theirs(args: argparse.Namespace, place: Path, dtype: str) -> dict[str, Any]:
    options = {
        "model": str(place / "model"),
        "tasks": str(place / "tasks"),
        "dtype": dtype,
        "batch": args.batch,
        "threads": args.threads,
    }
    offline = {
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(place / "hf"),
        "TQDM_DISABLE": "1",
        "OMP_NUM_THREADS": str(args.threads),
    }
    done = subprocess.run(
        [str(Path(args.python).absolute()), "-c", CHILD, json.dumps(options)],
        env={**os.environ, **offline}, cwd=place, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    for line in done.stdout.splitlines():
        if line.startswith("RESULT"):
            result: dict[str, Any] = json.loads(line.removeprefix("RESULT"))
            return result
    sys.exit(f"lm_eval failed with {done.returncode}.")


if __name__ == "__main__":
    main()
