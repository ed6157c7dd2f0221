"""Accuracy of the task `sentiment` on SST-2, untrained: as shipped, and without its calibration.

    python benchmarks/sst2_zero_shot.py path/to/dev.tsv

The file has a header and lines `label<TAB>sentence`, 1 for positive.
"""

import csv
import sys
import time

import nlpsuite


def main(path: str) -> None:
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    gold = ["positive" if label == "1" else "negative" for label, _ in rows]
    print(
        f"majority class: {max(gold.count('positive'), gold.count('negative')) / len(gold):.1%}, n = {len(gold)}"
    )
    sentiment = nlpsuite.load("sentiment")
    for calibrate in (True, False):
        started = time.perf_counter()
        outputs = sentiment.map([text for _, text in rows], calibrate=calibrate)
        seconds = time.perf_counter() - started
        accuracy = sum(out.label == label for out, label in zip(outputs, gold)) / len(gold)
        half_width = 1.96 * (accuracy * (1 - accuracy) / len(gold)) ** 0.5
        print(f"calibrate={calibrate}: {accuracy:.1%} ± {half_width:.1%}, {len(gold) / seconds:.1f} rows/s")


if __name__ == "__main__":
    main(sys.argv[1])
