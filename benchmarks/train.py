"""LoRA training speed beside transformers + peft: same model, data, batches, rank and precision.

    pip install peft
    python benchmarks/train.py ../shared/data/sentiment/sst2_glue/train.tsv

Both start from the same weights (A is copied, B is zero), see the same batches in the same order and take the
same optimizer steps, so their losses must agree. Their steps alternate, so that other load on the machine
affects both. Medians are reported.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from nlpsuite.data.examples import read_examples
from nlpsuite.models.checkpoint_write import write_checkpoint
from nlpsuite.models.language_module import load_module
from nlpsuite.models.lora import add_lora, lora_parameters
from nlpsuite.models.resolve import open_model, resolve_spec
from nlpsuite.options import make_options
from nlpsuite.plugins import load_task
from nlpsuite.runtime.tokenizer import Tokenizer
from nlpsuite.training.adapter import ExampleEncoder
from nlpsuite.training.batch import Batch, LossModule, pad_rows
from nlpsuite.training.buckets import Buckets

RANK, ALPHA, RATE = 16, 32.0, 5e-4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--task", default="sentiment")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--rows", type=int, default=4_000)
    parser.add_argument("--batch-tokens", type=int, default=2_048)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        with open_model(resolve_spec(None), place) as checkpoint:
            ours = load_module(checkpoint, torch.bfloat16)
            names = checkpoint.tensor_names()
            write_checkpoint(
                place / "hf",
                checkpoint.config,
                {n: checkpoint.tensor(n) for n in names},
                checkpoint.tokenizer_files(),
            )
        batches = make_batches(args, place / "hf")
        torch.manual_seed(0)
        layers = add_lora(ours, rank=RANK, alpha=ALPHA)
        ours.train()
        theirs = peft_model(place / "hf", layers)
        copy_start(lora_parameters(ours), theirs)
        sides = {"nlpsuite": our_step(ours), "transformers + peft": their_step(theirs)}
        report(args, batches, *run(sides, batches))


def make_batches(args: argparse.Namespace, tokenizer: Path) -> list[Batch]:
    task = load_task(args.task)
    options = make_options(task.options, dict(task.adapter_options))
    opened = Tokenizer.open(tokenizer)
    assert opened.eos_id is not None
    encoder = ExampleEncoder(task, options, opened, [opened.eos_id])
    examples = [example for example, _ in zip(read_examples(args.data, task), range(args.rows))]
    encoded = [encoder.encode(example) for example in examples]
    buckets = Buckets([len(example.ids) for example in encoded], args.batch_tokens, seed=0)
    return [
        pad_rows([(encoded[i].ids, encoded[i].prompt_length) for i in buckets.batch(step)])
        for step in range(args.steps)
    ]


def our_step(module: Any) -> Callable[[Batch], float]:
    loss_module = LossModule(module, bf16=True)
    optimizer = torch.optim.AdamW(lora_parameters(module).values(), lr=RATE, weight_decay=0.0, fused=True)

    def step(batch: Batch) -> float:
        loss = loss_module(batch.input_ids, batch.labels) / batch.targets
        torch.autograd.backward(loss)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    return step


def peft_model(directory: Path, layers: list[str]) -> Any:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.bfloat16)
    kinds = sorted({name.rpartition(".")[2] for name in layers})
    config = LoraConfig(
        r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=kinds, task_type="CAUSAL_LM"
    )
    return get_peft_model(model, config).train()


def copy_start(ours: dict[str, Any], theirs: Any) -> None:
    """Both adapters start with the same random A."""
    parameters = dict(theirs.named_parameters())
    with torch.no_grad():
        for name, value in ours.items():
            part = name.replace(".weight", ".default.weight")
            parameters[f"base_model.model.{part}"].copy_(value)


def their_step(model: Any) -> Callable[[Batch], float]:
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE, weight_decay=0.0, fused=True)

    def step(batch: Batch) -> float:
        # The model shifts the labels itself: the label of position s is the token at s.
        ids = torch.cat([batch.input_ids, torch.zeros_like(batch.input_ids[:, :1])], 1)
        labels = torch.cat([torch.full_like(batch.labels[:, :1], -100), batch.labels], 1)
        ids[:, 1:] = torch.where(labels[:, 1:] >= 0, labels[:, 1:], ids[:, 1:])
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    return step


def run(
    sides: dict[str, Callable[[Batch], float]], batches: list[Batch]
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Seconds and losses of each step, of each side."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    losses: dict[str, list[float]] = {name: [] for name in sides}
    for batch in batches:
        for name, step in sides.items():
            begin = time.perf_counter()
            losses[name].append(step(batch))
            seconds[name].append(time.perf_counter() - begin)
    return seconds, losses


def report(
    args: argparse.Namespace,
    batches: list[Batch],
    seconds: dict[str, list[float]],
    losses: dict[str, list[float]],
) -> None:
    warm = 3  # steps that pay for what is set up once
    rows = {}
    for name in seconds:
        speeds = [b.input_ids.numel() / s for b, s in zip(batches[warm:], seconds[name][warm:])]
        last = losses[name][-len(losses[name]) // 3 :]
        rows[name] = {
            "tokens_per_second": statistics.median(speeds),
            "loss_last_third": statistics.mean(last),
        }
        print(
            f"{name:>20}  {rows[name]['tokens_per_second']:7.0f} tokens/s  loss {rows[name]['loss_last_third']:.4f}"
        )

    ratio = statistics.median(
        t / o for o, t in zip(seconds["nlpsuite"][warm:], seconds["transformers + peft"][warm:])
    )
    worst = max(abs(a - b) for a, b in zip(*losses.values()))
    print(f"ratio {ratio:.2f} (median of step by step), largest difference of a step's loss {worst:.3f}")
    print(json.dumps({"threads": args.threads, "steps": args.steps, "ratio": ratio, **rows}))


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main()
