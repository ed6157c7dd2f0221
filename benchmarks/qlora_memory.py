"""Peak memory of training an adapter on a base with random weights in 4 bits.

    python benchmarks/qlora_memory.py Llama-3.2-1B-Instruct        # writes 0.9 GB; minutes for each step on few cores
    python benchmarks/qlora_memory.py small --batch-tokens 512 --steps 4

The base is a GGUF file with the shape of a model of the catalogue: layers in Q4_0, the embedding in Q8_0. A process of its
own trains with `--quantized-base`, once with `--gradient-checkpointing` and once without, and reports its peak, the
held-out examples' loss included.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import gguf
import numpy as np
from import_memory import SMALL

from nlpsuite.models.catalog import catalog, find_model
from nlpsuite.models.config import DecoderConfig
from nlpsuite.training.memory import estimate
from nlpsuite.training.settings import AdapterSettings

Q4, Q8 = gguf.GGMLQuantizationType.Q4_0, gguf.GGMLQuantizationType.Q8_0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "shape", help="`small`, or a model of the Llama family that `nlpsuite models catalog` lists"
    )
    parser.add_argument("--batch-tokens", type=int, default=512)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument(
        "--directory", type=Path, help="where there is room; by default the temporary directory"
    )
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    model = find_model(args.shape)
    config = model.config if model else SMALL
    if (model is None and args.shape != "small") or getattr(config, "family", "") != "llama":
        names = [known.name for known in catalog() if getattr(known.config, "family", "") == "llama"]
        sys.exit(f"Choose from: small, {', '.join(names)}")
    assert isinstance(config, DecoderConfig)
    with tempfile.TemporaryDirectory(dir=args.directory) as place:
        base = Path(place) / "base.gguf"
        write_random_gguf(base, config)
        rows = [{"text": f"{number} " + "word " * 40, "completion": "answer " * 12} for number in range(64)]
        data = Path(place) / "data.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        for checkpointing in (True, False):
            settings = {
                "batch_tokens": args.batch_tokens,
                "steps": args.steps,
                "gradient_checkpointing": checkpointing,
                "quantized_base": True,
                "max_length": args.batch_tokens,
                "scored_examples": 0,
                "evaluations": 1,
                "precision": "fp32",
            }
            begin = time.perf_counter()
            command = [
                sys.executable,
                "-c",
                CHILD,
                str(base),
                str(data),
                str(Path(place) / f"run-{checkpointing}"),
            ]
            done = subprocess.run(
                [*command, json.dumps(settings)], stdout=subprocess.PIPE, text=True, check=True
            )
            peak = int(done.stdout.split()[-1])
            computed = estimate(config, AdapterSettings(**settings), bf16=False).total
            row = {
                "shape": args.shape,
                "parameters": config.parameter_count(),
                "base_bytes": base.stat().st_size,
                "batch_tokens": args.batch_tokens,
                "steps": args.steps,
                "gradient_checkpointing": checkpointing,
                "peak_bytes": peak,
                "computed_bytes": computed,
                "seconds": round(time.perf_counter() - begin, 1),
            }
            if args.json:
                print(json.dumps(row), flush=True)
            else:
                print(
                    f"{args.shape}, batches of {args.batch_tokens} tokens, {'with' if checkpointing else 'without'} "
                    f"checkpointing: peak {peak / 1e9:.2f} GB, computed {computed / 1e9:.2f} GB; {row['seconds']:.0f} s",
                    flush=True,
                )


CHILD = """
import json, sys
import nlpsuite
from nlpsuite.runtime.peak_memory import peak_memory

base, data, run, settings = sys.argv[1:]
nlpsuite.train_adapter("complete", data, base=base, output=run, **json.loads(settings))
print(peak_memory())
"""


def write_random_gguf(path: Path, config: DecoderConfig) -> None:
    """Matrices of random blocks whose weights are about 0.02, and a tokenizer of bytes."""
    from tokenizers import pre_tokenizers

    writer = gguf.GGUFWriter(path, "llama", use_temp_file=True)
    writer.add_context_length(config.context_length)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_theta)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([*alphabet, "or", "<|end|>"])
    writer.add_token_types([1] * (len(alphabet) + 1) + [3])
    writer.add_token_merges(["o r"])
    writer.add_eos_token_id(len(alphabet) + 1)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    generator = np.random.default_rng(0)
    for name, shape in config.parameter_shapes():
        stored = names.get_name(name, try_suffixes=(".weight",))
        assert stored is not None
        if len(shape) == 1:
            writer.add_tensor(stored, np.ones(shape, np.float32))
            continue
        kind, levels, scale = (Q8, 32, 3e-4) if "embed" in name or "head" in name else (Q4, 16, 4e-3)
        blocks = generator.integers(0, 256, (shape[0], shape[1] // 32, 2 + levels), np.uint8)
        blocks[..., :2] = np.array([scale], np.float16).view(np.uint8)
        writer.add_tensor(stored, blocks.reshape(shape[0], -1), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
