"""Our models compute what transformers computes, from the files that transformers writes and reads."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import (
    CONFIGS,
    GGUF_CONFIGS,
    LLAMA,
    VOCABULARY,
    random_weights,
    tiny_tokenizer_files,
    wide,
    write_tiny_gguf,
)

from nlpsuite.models.checkpoint import Checkpoint, open_checkpoint
from nlpsuite.models.checkpoint_write import write_checkpoint
from nlpsuite.models.config import DecoderConfig, ModelConfig

TOLERANCE = 1e-4
LENGTH = 24

_SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_NEOX_SHAPE = {key: value for key, value in _SHAPE.items() if key != "num_key_value_heads"}
_GPT2_SHAPE = {
    "vocab_size": VOCABULARY,
    "n_positions": 64,
    "n_embd": 64,
    "n_layer": 2,
    "n_head": 4,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_ROPE = {"rope_type": "default", "rope_theta": 10_000.0}
_LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
# name -> model type and settings, as transformers' own configuration classes take them
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama-tied": ("llama", {**_SHAPE, "tie_word_embeddings": True, "rope_parameters": _ROPE}),
    "llama-untied": ("llama", {**_SHAPE, "tie_word_embeddings": False, "rms_norm_eps": 1e-3}),
    "llama3": ("llama", {**_SHAPE, "rope_parameters": _LLAMA3_ROPE, "head_dim": 32}),
    "smollm2": (
        "llama",
        {
            **_SHAPE,
            "hidden_size": 48,
            "num_attention_heads": 3,
            "num_key_value_heads": 1,
            "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": 100_000.0},
        },
    ),
    "mistral": ("mistral", {**_SHAPE, "sliding_window": None, "head_dim": 32}),
    "mistral-window": ("mistral", {**_SHAPE, "sliding_window": LENGTH}),
    "qwen2": ("qwen2", {**_SHAPE, "tie_word_embeddings": True}),
    "qwen3": ("qwen3", {**_SHAPE, "tie_word_embeddings": False, "head_dim": 32}),
    "mistral-short-window": ("mistral", {**_SHAPE, "sliding_window": 5}),
    "gemma3": (
        "gemma3_text",
        {**_SHAPE, "num_hidden_layers": 7, "head_dim": 32, "sliding_window": 5, "query_pre_attn_scalar": 24},
    ),
    "gemma3-stretched": (
        "gemma3_text",
        {
            **_SHAPE,
            "head_dim": 16,
            "sliding_window": 5,
            "layer_types": ["full_attention", "sliding_attention"],
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            },
        },
    ),
    "phi3": ("phi3", {**_SHAPE, "sliding_window": 5}),
    "phi4-mini": (
        "phi3",
        {
            **_SHAPE,
            "tie_word_embeddings": True,
            "original_max_position_embeddings": 32,
            "rope_parameters": {
                "rope_type": "longrope",
                "rope_theta": 1e4,
                "partial_rotary_factor": 0.75,
                "short_factor": [1.0, 1.1, 1.3, 1.7, 2.5, 4.0],
                "long_factor": [2.0, 3.0, 4.0, 8.0, 16.0, 32.0],
                "original_max_position_embeddings": 32,
            },
        },
    ),
    "smollm3": ("smollm3", {**_SHAPE, "num_hidden_layers": 4, "use_sliding_window": False}),
    "smollm3-window": (
        "smollm3",
        {**_SHAPE, "no_rope_layers": [0, 1], "use_sliding_window": True, "sliding_window": 5},
    ),
    "olmo2": ("olmo2", {**_SHAPE, "tie_word_embeddings": False}),
    "qwen2-yarn": (
        "qwen2",
        {
            **_SHAPE,
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 1e4,
                "factor": 4.0,
                "original_max_position_embeddings": 16,
            },
        },
    ),
    "llama-yarn": (
        "llama",
        {
            **_SHAPE,
            "head_dim": 32,
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 1e3,
                "factor": 8.0,
                "original_max_position_embeddings": 32,
                "beta_fast": 8.0,
                "beta_slow": 0.5,
                "mscale": 1.0,
                "mscale_all_dim": 0.7,
                "truncate": False,
            },
        },
    ),
    "olmo3": (
        "olmo3",
        {
            **_SHAPE,
            "num_hidden_layers": 5,
            "sliding_window": 5,
            "tie_word_embeddings": False,
            "rope_scaling": {
                "rope_type": "yarn",
                "factor": 8.0,
                "original_max_position_embeddings": 16,
                "attention_factor": 1.2,
            },
        },
    ),
    "granite": (
        "granite",
        {
            **_SHAPE,
            "embedding_multiplier": 6.0,
            "residual_multiplier": 0.22,
            "attention_multiplier": 0.125,
            "logits_scaling": 2.0,
        },
    ),
    # Pythia: a quarter of each head rotated, as its config.json of old writes it.
    "gpt-neox": ("gpt_neox", {**_NEOX_SHAPE, "rotary_pct": 0.25, "rotary_emb_base": 10_000}),
    "gpt-neox-serial": (
        "gpt_neox",
        {
            **_NEOX_SHAPE,
            "use_parallel_residual": False,
            "hidden_act": "gelu_new",
            "rope_parameters": {"rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 1.0},
        },
    ),
    "gpt2": ("gpt2", _GPT2_SHAPE),
    "gpt2-inner": ("gpt2", {**_GPT2_SHAPE, "n_inner": 80, "layer_norm_epsilon": 1e-3}),
}


@pytest.fixture(scope="module", autouse=True)
def transformers() -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's and transformers' own, at import
        torch = pytest.importorskip("torch")
        module = pytest.importorskip("transformers", reason="the reference implementation is not installed")
        module.utils.logging.disable_progress_bar()
        torch.set_num_threads(1)
        yield module


@pytest.fixture(scope="module")
def reference(transformers: Any) -> Callable[[str], Any]:
    """Makes a model of transformers with peaked random weights, biases and norms among them."""

    def make(name: str) -> Any:
        import torch

        kind, settings = MODELS[name]
        model = transformers.AutoModelForCausalLM.from_config(
            transformers.AutoConfig.for_model(kind, **settings)
        ).eval()
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter_name, parameter in model.named_parameters():
                noise = torch.randn(parameter.shape, generator=generator)
                if parameter.dim() == 2:
                    wide = "emb" in parameter_name or "wte" in parameter_name or "wpe" in parameter_name
                    parameter.copy_(noise / 4 if wide else 2 * noise / parameter.shape[-1] ** 0.5)
                else:
                    parameter.add_(noise / 8)
        return model

    return make


def saved(model: Any, directory: Path, **options: Any) -> Path:
    model.save_pretrained(directory, **options)
    for name, text in tiny_tokenizer_files().items():
        (directory / name).write_text(text, encoding="utf-8")
    return directory


def token_ids(rows: int = 2) -> Any:
    import torch

    return torch.from_numpy(np.random.default_rng(7).integers(3, VOCABULARY, (rows, LENGTH)))


def logits_of(model: Any, ids: Any) -> Any:
    import torch

    with torch.no_grad():
        return model(input_ids=ids).logits


def assert_same_logits(checkpoint: Checkpoint, expected: Any) -> None:
    import torch

    from nlpsuite.models.language_module import load_module

    with torch.no_grad():
        logits, _ = load_module(checkpoint)(token_ids())
    # Flat logits would agree whatever the model did.
    assert expected.std(dim=2).min() > 0.3
    torch.testing.assert_close(logits, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("name", MODELS)
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


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q6_K"])
@pytest.mark.parametrize("name", GGUF_CONFIGS)
def test_gguf(transformers: Any, tmp_path: Path, name: str, kind: str) -> None:
    config = wide(GGUF_CONFIGS[name])
    held = write_tiny_gguf(tmp_path / "tiny.gguf", config, kind=kind)
    model = _with_weights(transformers, config, held)
    assert_same_logits(open_checkpoint(tmp_path / "tiny.gguf"), logits_of(model, token_ids()))


def test_gguf_of_llama_3(transformers: Any, tmp_path: Path) -> None:
    config = CONFIGS["llama3"]
    assert isinstance(config, DecoderConfig)
    model = _with_weights(transformers, config, random_weights(config))
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
    model = _with_weights(transformers, LLAMA, random_weights(LLAMA), rope_parameters=rope)
    metadata = {"type": "yarn", "factor": 4.0, "original_context_length": 64, **own}
    write_tiny_gguf(
        tmp_path / "tiny.gguf",
        metadata={f"llama.rope.scaling.{key}": value for key, value in metadata.items()},
    )
    checkpoint = open_checkpoint(tmp_path / "tiny.gguf")
    assert checkpoint.config.context_length == 256
    assert_same_logits(checkpoint, logits_of(model, token_ids()))


def _with_weights(transformers: Any, config: ModelConfig, weights: dict[str, Any], **changes: Any) -> Any:
    """A model of transformers with these weights, without a detour over our files; its settings may be changed."""
    import torch

    settings = json.loads(json.dumps({**config.to_hf(), **changes}))
    kind = settings.pop("model_type")
    settings["pad_token_id"] = 0  # some have a default that lies outside this vocabulary
    model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(kind, **settings))
    state = {name: torch.from_numpy(np.array(values)) for name, values in weights.items()}
    if kind == "gpt2":
        conv = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
        state = {name: values.T if name.endswith(conv) else values for name, values in state.items()}
    for name, parts in config.stacked().items():
        if len(parts) == 1:  # a name in checkpoints alone
            continue
        state[name] = torch.cat([state.pop(part) for part in parts])
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}
    model.tie_weights()
    return model.eval()
