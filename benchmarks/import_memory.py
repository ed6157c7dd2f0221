"""Peak memory and time of importing a checkpoint with random weights, beside the size of its bundle.

    python benchmarks/import_memory.py Llama-3.2-3B-Instruct        # writes 6.4 GB and a bundle of 3.3 GB
    python benchmarks/import_memory.py small --json

The checkpoint has the shape of a model of the catalogue and weights in bfloat16. A process of its own imports it, as
`nlpsuite pull` does, and reports its peak, pages of the mapped checkpoint included. The bound is
1.3 times the bundle plus 1 GB.
"""

from __future__ import annotations

import argparse
import json
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from nlpsuite.models.catalog import catalog, find_model
from nlpsuite.models.config import DecoderConfig

# Most weights are in the embedding, which is what memory is short for.
SMALL = DecoderConfig(64_000, 1_024, 2_048, 2, 16, 4, 64, 2_048)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("shape", help="`small`, or a name that `nlpsuite models catalog` lists")
    parser.add_argument("--precision", default="int8")
    parser.add_argument(
        "--directory", type=Path, help="where there is room; by default the temporary directory"
    )
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    model = find_model(args.shape)
    if model is None and args.shape != "small":
        sys.exit(f"Choose from: small, {', '.join(known.name for known in catalog())}")
    config = model.config if model else SMALL
    with tempfile.TemporaryDirectory(dir=args.directory) as place:
        source = write_random_checkpoint(Path(place) / "checkpoint", config)
        command = [sys.executable, "-c", CHILD, str(source), str(Path(place) / "bundle"), args.precision]
        begin = time.perf_counter()
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        row = {
            "shape": args.shape,
            "precision": args.precision,
            "parameters": config.parameter_count(),
            "checkpoint_bytes": (source / "model.safetensors").stat().st_size,
            "seconds": round(time.perf_counter() - begin, 1),
            **json.loads(done.stdout),
        }
    row["bound_bytes"] = round(1.3 * row["bundle_bytes"] + 1e9)
    if args.json:
        print(json.dumps(row))
        return
    sizes = {
        name: f"{row[f'{name}_bytes'] / 1e9:.2f} GB" for name in ("checkpoint", "bundle", "peak", "bound")
    }
    print(f"{args.shape}, {args.precision}: {sizes}, {row['seconds']:.0f} s")


CHILD = """
import json, sys
from pathlib import Path
from nlpsuite.export.build import build_bundle
from nlpsuite.models.checkpoint import open_checkpoint
from nlpsuite.runtime.peak_memory import peak_memory

source, target, precision = sys.argv[1:]
bundle = build_bundle(open_checkpoint(Path(source)), Path(target), precision=precision)
size = sum(file.stat().st_size for file in bundle.rglob("*") if file.is_file())
print(json.dumps({"bundle_bytes": size, "peak_bytes": peak_memory()}))
"""


def write_random_checkpoint(directory: Path, config: DecoderConfig) -> Path:
    """A Hugging Face directory with normal weights in bfloat16, written without holding them in memory."""
    directory.mkdir()
    header: dict[str, Any] = {}
    at = 0
    for name, shape in config.parameter_shapes():
        end = at + 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    noise = _bfloat16(np.random.default_rng(0).standard_normal(1 << 22, np.float32) * 0.02)
    with (directory / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for number, (_, shape) in enumerate(config.parameter_shapes()):
            left = int(np.prod(shape))
            part = np.roll(noise, number) if len(shape) == 2 else _bfloat16(np.ones(left, np.float32))
            while left > 0:
                file.write(part[:left].data)
                left -= len(part)
    (directory / "config.json").write_text(json.dumps(config.to_hf()))
    (directory / "tokenizer.json").write_text(_tokenizer())
    (directory / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|end|>"}))
    return directory


def _bfloat16(values: np.ndarray) -> np.ndarray:
    return (values.view(np.uint32) >> 16).astype(np.uint16)


def _tokenizer() -> str:
    """Bytes, and an end."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    alphabet = {token: i for i, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<|end|>", special=True, normalized=False)])
    return str(tokenizer.to_str())


if __name__ == "__main__":
    main()
