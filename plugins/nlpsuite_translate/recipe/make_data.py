"""Training and held-out pairs for the adapter of translate, from Tatoeba and Multi30k's training part.

    python make_data.py DATA OUTPUT [--tatoeba N] [--multi30k TIMES] [--seed 0]

DATA holds ``tatoeba_en_de/deu-eng.zip``, ``tatoeba_en_fr/fra-eng.zip``, ``tatoeba_en_es/spa-eng.zip`` (manythings.org/anki,
CC BY 2.0) and ``multi30k/train.{en,de,fr}.gz`` (research use). Written to OUTPUT: ``train.tsv`` and ``tatoeba_heldout_PAIR.tsv``,
with the columns source, target, from and to.

Tatoeba is split by English sentence, so no translation of a held-out sentence is learnt, in any direction. Multi30k's
val and test parts are never read; run.sh checks that no sentence of the test part is in the training file.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import random
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

LANGUAGES = {"de": "German", "fr": "French", "es": "Spanish"}
TATOEBA = {
    "de": ("tatoeba_en_de/deu-eng.zip", "deu.txt"),
    "fr": ("tatoeba_en_fr/fra-eng.zip", "fra.txt"),
    "es": ("tatoeba_en_es/spa-eng.zip", "spa.txt"),
}
MULTI30K = ("de", "fr")
HELDOUT = 50  # one English sentence in so many
BACK = 0.5  # share of the pairs that are learnt into English
MOST_PER_SENTENCE = 3  # translations of one sentence; Tatoeba has up to fifty

Row = tuple[str, str, str, str]  # source, target, from, to


def tatoeba(data: Path, code: str) -> Iterator[tuple[str, str]]:
    """Pairs of an English sentence and its translation."""
    archive, member = TATOEBA[code]
    with zipfile.ZipFile(data / archive) as zipped:
        for line in zipped.read(member).decode("utf-8").splitlines():
            english, other = line.split("\t")[:2]
            yield english.strip(), other.strip()


def multi30k(data: Path, code: str) -> Iterator[tuple[str, str]]:
    """Pairs of Multi30k's training part."""
    texts = [
        gzip.decompress((data / f"multi30k/train.{c}.gz").read_bytes()).decode("utf-8").splitlines()
        for c in ("en", code)
    ]
    for english, other in zip(*texts, strict=True):
        yield " ".join(english.split()), " ".join(other.split())


def is_heldout(english: str) -> bool:
    """Whether an English sentence is held out, by its hash: the same for all languages."""
    folded = "".join(filter(str.isalnum, english.casefold()))
    return int.from_bytes(hashlib.sha256(folded.encode()).digest()[:4], "big") % HELDOUT == 0


def directions(pairs: list[tuple[str, str]], code: str, generator: random.Random) -> list[Row]:
    """Every pair out of English, and a share of them back."""
    name = LANGUAGES[code]
    rows = [(english, other, "English", name) for english, other in pairs]
    rows += [(other, english, name, "English") for english, other in pairs if generator.random() < BACK]
    return rows


def write(path: Path, rows: list[Row]) -> None:
    """A TSV file with a header."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(("source", "target", "from", "to"))
        writer.writerows(rows)


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--tatoeba", type=int, default=300_000, help="most pairs of each language")
    parser.add_argument("--multi30k", type=int, default=4, help="times that its pairs are in the file")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    generator = random.Random(arguments.seed)
    arguments.output.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for code in LANGUAGES:
        learnt, heldout = [], []
        seen: Counter[str] = Counter()
        pairs = list(tatoeba(arguments.data, code))
        generator.shuffle(pairs)
        for english, other in pairs:
            if is_heldout(english):
                heldout.append((english, other))
            elif seen[english] < MOST_PER_SENTENCE:
                seen[english] += 1
                learnt.append((english, other))
        # Longer sentences teach more of a language than "Go!" does.
        learnt = sorted(generator.sample(learnt, len(learnt)), key=lambda pair: len(pair[0]) < 20)
        learnt = learnt[: arguments.tatoeba]
        if code in MULTI30K:
            learnt += arguments.multi30k * list(multi30k(arguments.data, code))
        rows += directions(learnt, code, generator)
        name = LANGUAGES[code]
        write(
            arguments.output / f"tatoeba_heldout_en-{code}.tsv",
            [(english, other, "English", name) for english, other in heldout],
        )
    generator.shuffle(rows)
    write(arguments.output / "train.tsv", rows)
    print(f"{len(rows):,} rows")


if __name__ == "__main__":
    main()
