"""Our models compute what transformers computes, from the files that transformers writes and reads."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from families import FAMILIES
from reference import (
    LENGTH,
    MODELS,
    TOLERANCE,
    assert_same_logits,
    import_transformers,
    logits_of,
    make_reference,
    saved,
    token_ids,
    with_weights,
)
from tiny import (
    CONFIGS,
    GGUF_CONFIGS,
    LLAMA,
    random_weights,
    tiny_tokenizer_files,
    wide,
    write_tiny_gguf,
)

from nlpsuite.models.checkpoint import open_checkpoint
from nlpsuite.models.checkpoint_write import write_checkpoint
from nlpsuite.models.config import DecoderConfig

# The others are in test_family_table.py.
VARIANTS = [name for name in MODELS if name not in {family.reference for family in FAMILIES}]
GGUF_VARIANTS = [name for name in GGUF_CONFIGS if name not in {family.gguf for family in FAMILIES}]
GGUF_KINDS = ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q6_K"]


@pytest.fixture(scope="module", autouse=True)
def transformers() -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield import_transformers()


@pytest.fixture(scope="module")
def reference(transformers: Any) -> Callable[[str], Any]:
    return functools.partial(make_reference, transformers)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_whole_sequence(reference: Callable[[str], Any], tmp_path: Path, name: str) -> None:
    model = reference(name)
    checkpoint = open_checkpoint(saved(model, tmp_path / name))
    assert_same_logits(checkpoint, logits_of(model, token_ids()))


@pytest.mark.parametrize("name", MODELS)
def test_token_by_token_through_slots(reference: Callable[[str], Any], tmp_path: Path, name: str) -> None:
    """Two rows that are at different places all the time, in memory that other rows have used."""
    import torch

    from nlpsuite.models.language_module import load_module

    model = reference(name)
    ids = token_ids()
    expected = logits_of(model, ids)
    module = load_module(open_checkpoint(saved(model, tmp_path / name)))
    state = module.empty_state(rows=2, length=LENGTH + 8)
    state = state._replace(tensors=tuple(torch.full_like(tensor, 99.0) for tensor in state.tensors))
    seen = [0, 0]
    for counts in [(7, 3), (0, 4), *[(1, 1)] * 4, (3, 0), (5, 6)]:
        new = max(counts)
        chunk = torch.zeros(2, new, dtype=torch.int64)  # padded with a token that means something
        for row, count in enumerate(counts):
            chunk[row, :count] = ids[row, seen[row] : seen[row] + count]
        with torch.no_grad():
            logits, after = module(chunk, state._replace(lengths=torch.tensor(counts)))
        for row, count in enumerate(counts):
            torch.testing.assert_close(
                logits[row, :count],
                expected[row, seen[row] : seen[row] + count],
                atol=TOLERANCE,
                rtol=0,
            )
            seen[row] += count
        assert after.write_indices.tolist() == seen
        state = after
    assert seen == [19, 17]


@pytest.mark.parametrize("name", ["llama-tied", "qwen3", "gpt2"])
def test_shards_of_transformers(reference: Callable[[str], Any], tmp_path: Path, name: str) -> None:
    model = reference(name)
    directory = saved(model, tmp_path / name, max_shard_size="60KB")
    assert len(list(directory.glob("model-*.safetensors"))) > 2
    assert_same_logits(open_checkpoint(directory), logits_of(model, token_ids()))


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_half_precision(reference: Callable[[str], Any], tmp_path: Path, kind: str) -> None:
    import torch

    model = reference("gpt2").to(getattr(torch, kind))
    directory = saved(model, tmp_path / kind)
    assert_same_logits(open_checkpoint(directory), logits_of(model.float(), token_ids()))


def test_a_head_stored_beside_the_embedding_that_the_config_ties_it_to(
    reference: Callable[[str], Any], tmp_path: Path
) -> None:
    """GPT-2 is published without ``transformer.``, with causal masks, and a tied head now and then."""
    from safetensors.numpy import load_file, save_file

    model = reference("gpt2")
    path = saved(model, tmp_path / "gpt2") / "model.safetensors"
    stored = {name.removeprefix("transformer."): values for name, values in load_file(path).items()}
    stored["lm_head.weight"] = stored["wte.weight"]
    for i in range(2):
        stored[f"h.{i}.attn.bias"] = np.tril(np.ones((1, 1, 64, 64), np.float32))
        stored[f"h.{i}.attn.masked_bias"] = np.float32([-1e4])
    save_file(stored, path)
    assert_same_logits(open_checkpoint(tmp_path / "gpt2"), logits_of(model, token_ids()))


# What we write, transformers reads.


@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "lstm"])
def test_transformers_reads_what_we_write(transformers: Any, tmp_path: Path, name: str) -> None:
    config = CONFIGS[name]
    write_checkpoint(tmp_path / name, config, random_weights(config), tiny_tokenizer_files())
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / name, output_loading_info=True
    )
    assert not any(report.values()), report
    checkpoint = open_checkpoint(tmp_path / name)
    assert checkpoint.config == config
    assert_same_logits(checkpoint, logits_of(model, token_ids()))


def test_token_ids_round_trip(transformers: Any, tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    text = "the singing of 1234 birds\n\tand  ünïcödé 😀 <|im_end|> positive"
    files = tiny_tokenizer_files()
    ids = Tokenizer.from_str(files["tokenizer.json"]).encode(text).ids
    assert 2 in ids

    original = transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(files["tokenizer.json"]),
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
    )
    directory = tmp_path / "by-transformers"
    write_checkpoint(directory, LLAMA, random_weights(LLAMA), {})
    original.save_pretrained(directory)
    read = open_checkpoint(directory).tokenizer_files()
    assert Tokenizer.from_str(read["tokenizer.json"]).encode(text).ids == ids

    write_checkpoint(tmp_path / "by-us", LLAMA, random_weights(LLAMA), read)
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "by-us")
    assert again.encode(text) == ids
    assert again.decode(ids) == text
    assert (again.bos_token_id, again.eos_token_id, again.pad_token_id) == (1, 2, 0)
    config = transformers.AutoConfig.from_pretrained(tmp_path / "by-us")
    assert (config.bos_token_id, config.eos_token_id, config.pad_token_id) == (1, [0, 2], 0)


# GGUF


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, "F32") for name in GGUF_VARIANTS]
    + [(name, kind) for name in GGUF_CONFIGS for kind in GGUF_KINDS],
)
def test_gguf(transformers: Any, tmp_path: Path, name: str, kind: str) -> None:
    config = wide(GGUF_CONFIGS[name])
    held = write_tiny_gguf(tmp_path / "tiny.gguf", config, kind=kind)
    model = with_weights(transformers, config, held)
    assert_same_logits(open_checkpoint(tmp_path / "tiny.gguf"), logits_of(model, token_ids()))


def test_gguf_of_llama_3(transformers: Any, tmp_path: Path) -> None:
    config = CONFIGS["llama3"]
    assert isinstance(config, DecoderConfig)
    model = with_weights(transformers, config, random_weights(config))
    # transformers' own frequencies, scaled and plain, stand for the converter's arithmetic.
    plain = config.rope_theta ** -(np.arange(0, config.head_dim, 2) / config.head_dim)
    divisors = (plain / model.model.rotary_emb.inv_freq.numpy()).astype(np.float32)
    assert divisors.min() == pytest.approx(1) and divisors.max() == pytest.approx(32)
    write_tiny_gguf(tmp_path / "tiny.gguf", config, tensors={"rope_freqs.weight": divisors})
    checkpoint = open_checkpoint(tmp_path / "tiny.gguf")
    assert checkpoint.config.rope_scaling.factor == pytest.approx(32)  # type: ignore[attr-defined]
    assert_same_logits(checkpoint, logits_of(model, token_ids()))


@pytest.mark.parametrize(
    ("own", "theirs"),
    [
        ({}, {}),
        ({"yarn_beta_fast": 8.0, "yarn_beta_slow": 0.5}, {"beta_fast": 8.0, "beta_slow": 0.5}),
        ({"yarn_attn_factor": 1.5}, {"attention_factor": 1.5}),
    ],
)
def test_gguf_with_yarn(
    transformers: Any, tmp_path: Path, own: dict[str, Any], theirs: dict[str, Any]
) -> None:
    settings = {"factor": 4.0, "original_max_position_embeddings": 64, **theirs}
    rope = {"rope_type": "yarn", "rope_theta": LLAMA.rope_theta, **settings}
    model = with_weights(transformers, LLAMA, random_weights(LLAMA), rope_parameters=rope)
    metadata = {"type": "yarn", "factor": 4.0, "original_context_length": 64, **own}
    write_tiny_gguf(
        tmp_path / "tiny.gguf",
        metadata={f"llama.rope.scaling.{key}": value for key, value in metadata.items()},
    )
    checkpoint = open_checkpoint(tmp_path / "tiny.gguf")
    assert checkpoint.config.context_length == 256
    assert_same_logits(checkpoint, logits_of(model, token_ids()))
