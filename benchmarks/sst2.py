"""Accuracy of the task `sentiment` on SST-2: as shipped and without its calibration, or with an adapter.

    python benchmarks/sst2.py path/to/dev.tsv
    python benchmarks/sst2.py path/to/dev.tsv --adapter runs/sst2/adapter.safetensors
    python benchmarks/sst2.py path/to/dev.tsv --model exported/sst2

The file has a header and lines `label<TAB>sentence`, 1 for positive.
"""

import argparse
import time
from typing import Any

import nlpsuite
from nlpsuite.data.examples import read_examples
from nlpsuite.plugins import load_task


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data")
    parser.add_argument("--model")
    parser.add_argument("--adapter")
    args = parser.parse_args()
    task = load_task("sentiment")
    examples = list(read_examples(args.data, task))
    gold = [task.reference(example.reference) for example in examples]
    majority = max(gold.count(label) for label in set(gold)) / len(gold)
    print(f"majority class: {majority:.1%}, n = {len(gold)}")
    trained = args.adapter or args.model
    variants: list[dict[str, Any]] = [{}] if trained else [{}, {"calibrate": False}]
    for options in variants:
        sentiment = nlpsuite.load("sentiment", model=args.model, adapter=args.adapter, **options)
        begin = time.perf_counter()
        outputs = sentiment.map([example.record.text for example in examples])
        seconds = time.perf_counter() - begin
        right = sum(output.label == label for output, label in zip(outputs, gold)) / len(gold)
        half_width = 1.96 * (right * (1 - right) / len(gold)) ** 0.5
        print(
            f"{options or 'as it is'}: accuracy {right:.1%} ± {half_width:.1%}, {len(gold) / seconds:.1f} rows/s"
        )


if __name__ == "__main__":
    main()
