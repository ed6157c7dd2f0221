"""Tiny models of every architecture with random weights, and the files they come in."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

from nlpsuite.models.checkpoint_write import write_checkpoint
from nlpsuite.models.config import (
    DecoderConfig,
    GPT2Config,
    GPTNeoXConfig,
    LSTMConfig,
    ModelConfig,
    RopeScaling,
)
from nlpsuite.models.rope import yarn_divisors

Weights = dict[str, npt.NDArray[np.float32]]

CONTROLS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = (
    "Ġ t|h e|Ġt he|i n|in g|Ġ a|e r|o n|r e|Ġ s|a n|an d|Ġ o|o r|o u|Ġ w|e n|i s|a t|Ġ c|Ġ b|Ġ i|e s|i t|Ġ f|"
    "Ġ m|Ġ p|l l|Ġ and|Ġo f|Ġt o|e d|Ġi n|a r|c h|s t|Ġ d|p o|s i|po si|t i|ti v|tiv e"
).split("|")
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
VOCABULARY = len(CONTROLS) + 256 + len(MERGES)

LLAMA = DecoderConfig(
    vocab_size=VOCABULARY,
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=16,
    max_position_embeddings=256,
    rope_theta=1_000.0,
)
LLAMA3_SCALING = RopeScaling(32.0, 1.0, 4.0, 8192)
GPT2 = GPT2Config(vocab_size=VOCABULARY, n_positions=64, n_embd=64, n_layer=2, n_head=4, n_inner=96)
NEOX = GPTNeoXConfig(
    vocab_size=VOCABULARY,
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=64,
    rotary_dim=4,
)
LSTM = LSTMConfig(vocab_size=VOCABULARY, embedding_size=24, hidden_size=32, num_layers=2)
TIED_LSTM = dataclasses.replace(LSTM, tie_word_embeddings=True)
CONFIGS: dict[str, ModelConfig] = {
    "llama": LLAMA,
    "llama-untied": dataclasses.replace(LLAMA, tie_word_embeddings=False),
    "llama3": dataclasses.replace(LLAMA, rope_theta=500_000.0, rope_scaling=LLAMA3_SCALING),
    "mistral": dataclasses.replace(LLAMA, family="mistral", tie_word_embeddings=False),
    "qwen2": dataclasses.replace(LLAMA, family="qwen2", rms_norm_eps=1e-6),
    # Heads wider than the hidden size has room for, as the smaller models of the family have.
    "qwen3": dataclasses.replace(LLAMA, family="qwen3", head_dim=32, rms_norm_eps=1e-6),
    "mistral-window": dataclasses.replace(LLAMA, family="mistral", sliding_window=8, local_layers=(0, 1)),
    # Layers of both kinds, with rotary bases of their own; scores scaled otherwise than by the heads' size.
    "gemma3": dataclasses.replace(
        LLAMA,
        family="gemma3_text",
        head_dim=32,
        rms_norm_eps=1e-6,
        local_rope_theta=100.0,
        sliding_window=8,
        local_layers=(0,),
        embedding_scale=8.0,
        attention_scale=24.0**-0.5,
    ),
    # A part of each head rotated, by frequencies divided one by one.
    "phi3": dataclasses.replace(
        LLAMA, family="phi3", rotary_dim=12, rope_divisors=(1.0, 1.1, 1.5, 2.0, 3.0, 4.0), rope_magnitude=1.25
    ),
    "smollm3": dataclasses.replace(LLAMA, family="smollm3", no_rope_layers=(1,)),
    "olmo2": dataclasses.replace(LLAMA, family="olmo2", tie_word_embeddings=False),
    "olmo3": dataclasses.replace(
        LLAMA,
        family="olmo3",
        rope_divisors=(1.0, 1.0, 1.1, 1.5, 2.0, 3.0, 4.0, 4.0),
        rope_magnitude=1.25,
        local_rope_theta=LLAMA.rope_theta,
        sliding_window=8,
        local_layers=(0,),
    ),
    "granite": dataclasses.replace(
        LLAMA,
        family="granite",
        embedding_scale=12.0,
        residual_scale=0.25,
        attention_scale=0.125,
        logit_scale=0.5,
    ),
    "granite4": dataclasses.replace(
        LLAMA, family="granitemoehybrid", embedding_scale=12.0, attention_scale=0.125, logit_scale=0.5
    ),
    "linear rope": dataclasses.replace(LLAMA, rope_divisors=(4.0,) * 8),
    "gpt2": GPT2,
    "gpt2-untied": dataclasses.replace(GPT2, tie_word_embeddings=False),
    "gpt-neox": NEOX,
    "gpt-neox-serial": dataclasses.replace(
        NEOX, rotary_dim=16, hidden_act="gelu_fast", use_parallel_residual=False, tie_word_embeddings=True
    ),
    "lstm": LSTM,
}
"""A small model of each architecture, whose vocabulary is the tiny tokenizer's."""

GGUF_CONFIGS: dict[str, ModelConfig] = {
    **{
        name: CONFIGS[name]
        for name in ("llama", "llama-untied", "mistral", "qwen2", "qwen3", "gpt2", "gpt2-untied", "gpt-neox")
    },
    **{name: CONFIGS[name] for name in ("mistral-window", "phi3", "olmo2", "granite", "linear rope")},
    # As llama.cpp has it: which layers are local and which have no positions is not in the file.
    "gemma3": dataclasses.replace(
        CONFIGS["gemma3"],  # type: ignore[type-var]
        num_hidden_layers=7,
        local_layers=(0, 1, 2, 3, 4, 6),
        attention_scale=32**-0.5,
    ),
    "smollm3": dataclasses.replace(LLAMA, family="smollm3", num_hidden_layers=4, no_rope_layers=(3,)),
    "olmo3": dataclasses.replace(
        CONFIGS["olmo3"],  # type: ignore[type-var]
        num_hidden_layers=4,
        local_layers=(0, 1, 2),
        rope_divisors=yarn_divisors(LLAMA.rope_theta, LLAMA.head_dim, 4.0, 64),
    ),
}
"""A small model of each architecture that GGUF files hold."""


def wide(config: ModelConfig) -> ModelConfig:
    """The same with rows of 256 weights, the block of the K-quants."""
    if isinstance(config, DecoderConfig):
        changes: dict[str, Any] = {"hidden_size": 256, "intermediate_size": 256, "head_dim": 64}
        if config.family == "olmo3":
            return dataclasses.replace(
                config, **changes, rope_divisors=yarn_divisors(config.rope_theta, 64, 4.0, 64)
            )
        if config.family == "gemma3_text":
            changes |= {"embedding_scale": 16.0, "attention_scale": 64**-0.5}
        if config.family == "phi3":
            changes["rotary_dim"] = 12
        elif config.rope_divisors:
            changes["rope_divisors"] = config.rope_divisors[:1] * 32
        return dataclasses.replace(config, **changes)
    if isinstance(config, GPTNeoXConfig):
        return dataclasses.replace(config, hidden_size=256, intermediate_size=256)
    return dataclasses.replace(config, n_embd=256, n_inner=256)  # type: ignore[call-arg]


def tiny_tokenizer_json() -> str:
    """A byte-level BPE of 302 tokens that splits digits, with ChatML's control tokens."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    merges = [(a, b) for a, b in (merge.split(" ") for merge in MERGES)]
    tokens = [*CONTROLS, *sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(m) for m in merges)]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in CONTROLS])
    text: str = tokenizer.to_str()
    return text


def tiny_tokenizer_files() -> dict[str, str]:
    """The tokenizer's files as a Hugging Face directory has them."""
    special = {"bos_token": CONTROLS[1], "eos_token": CONTROLS[2], "pad_token": CONTROLS[0]}
    return {
        "tokenizer.json": tiny_tokenizer_json(),
        "tokenizer_config.json": json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **special}),
        "chat_template.jinja": CHAT_TEMPLATE,
    }


def random_weights(config: ModelConfig, seed: int = 0) -> Weights:
    """Weights that make peaked logits, so that argmax is stable and an error shows."""
    generator = np.random.default_rng(seed)
    weights = {}
    for name, shape in config.parameter_shapes():
        values = generator.standard_normal(shape, dtype=np.float32)
        if "bias" in name:
            weights[name] = values / 4
        elif len(shape) == 1:
            weights[name] = 1 + values / 10
        elif re.search(r"embed_|wte|wpe", name):
            weights[name] = values / 4
        else:
            weights[name] = 2 * values / np.float32(np.sqrt(shape[1]))
    return weights


def write_tiny_checkpoint(directory: Path, seed: int = 0, config: ModelConfig = LLAMA) -> Path:
    """A Hugging Face directory of a model with random weights."""
    write_checkpoint(directory, config, random_weights(config, seed), tiny_tokenizer_files())
    return directory


# GGUF


def permute_for_gguf(rows: npt.NDArray[Any], heads: int) -> npt.NDArray[Any]:
    """The order of rows in which llama.cpp's converter writes Llama's queries and keys."""
    split = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return split.swapaxes(1, 2).reshape(rows.shape)


def blocks_of(values: npt.NDArray[np.float32], kind: str, seed: int = 0) -> npt.NDArray[np.uint8]:
    """A matrix as blocks of a storage type: (rows, bytes per row).

    The package can't write K-quants: there the blocks are random, with scales that make
    weights of about 0.1.
    """
    quantised = gguf.GGMLQuantizationType[kind]
    if kind not in ("Q4_K", "Q6_K"):
        return np.ascontiguousarray(gguf.quantize(values, quantised)).view(np.uint8)
    block, nbytes = gguf.GGML_QUANT_SIZES[quantised]
    generator = np.random.default_rng(seed)
    shape = (values.shape[0], values.shape[1] // block, nbytes)
    blocks = generator.integers(0, 256, shape, dtype=np.uint8)
    if kind == "Q4_K":  # scale of the scales, scale of the minima, then both in 6 bits, then the weights
        blocks[..., :4] = np.array([3e-4, 2.25e-3], np.float16).view(np.uint8)
    else:  # the scale of the scales comes last
        blocks[..., 208:] = np.array([3e-5], np.float16).view(np.uint8)
    return blocks.reshape(values.shape[0], -1)


def write_tiny_gguf(
    path: Path,
    config: ModelConfig = LLAMA,
    weights: Weights | None = None,
    kind: str = "F32",
    *,
    metadata: Mapping[str, Any] = MappingProxyType({}),
    tensors: Mapping[str, npt.NDArray[np.float32]] = MappingProxyType({}),
) -> Weights:
    """Write a GGUF file whose matrices have the storage type ``kind``; gives what they then hold.

    Args:
        weights: by default ``random_weights``.
        metadata: further values, or others in place of the usual ones; None takes one away.
        tensors: further tensors, under their GGUF names.
    """
    held: Weights = {}
    architecture = _architecture(config)
    writer = gguf.GGUFWriter(path, architecture)
    _add_metadata(writer, config)
    add = {str: writer.add_string, float: writer.add_float32, int: writer.add_uint32, bool: writer.add_bool}
    add[list] = add[bytes] = writer.add_array
    for key, value in metadata.items():
        writer.kv_data[0].pop(key, None)
        if value is not None:
            add[type(value)](key, value)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[architecture.upper()], n_blocks=8)
    quantised = gguf.GGMLQuantizationType[kind]
    stacked: Weights = {}
    for number, (name, values) in enumerate((weights or random_weights(config)).items()):
        if values.ndim == 1:
            rows, held[name] = values, values
        else:
            rows = blocks_of(values, kind, number)
            held[name] = gguf.dequantize(rows, quantised).astype(np.float32)
        rows = _gguf_rows(config, architecture, name, rows)
        if architecture == "gemma3" and "norm" in name:
            rows = rows + 1
        whole = next((stack for stack, parts in config.stacked().items() if name in parts), None)
        if whole is not None:
            stacked[whole] = np.concatenate((stacked[whole], rows)) if whole in stacked else rows
            if name != config.stacked()[whole][-1]:
                continue
            name, rows = whole, stacked[whole]
        stored_name = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert stored_name is not None, name
        writer.add_tensor(stored_name, rows, raw_dtype=quantised if values.ndim == 2 else None)
    if architecture == "phi3":
        factors = np.array(config.rope_divisors, np.float32)  # type: ignore[attr-defined]
        for name in ("rope_factors_short.weight", "rope_factors_long.weight"):
            writer.add_tensor(name, factors)
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    finish_gguf(writer)
    return held


def _architecture(config: ModelConfig) -> str:
    family = getattr(config, "family", "gptneox" if isinstance(config, GPTNeoXConfig) else "gpt2")
    return {"mistral": "llama", "gemma3_text": "gemma3", "olmo3": "olmo2"}.get(family, family)


def _gguf_rows(config: ModelConfig, architecture: str, name: str, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A parameter's rows in the order in which llama.cpp's converter writes them."""
    if isinstance(config, GPTNeoXConfig) and ".query_key_value." in name:
        heads = config.num_attention_heads
        by_head = rows.reshape(heads, 3, len(rows) // 3 // heads, -1)
        return by_head.swapaxes(0, 1).reshape(rows.shape)
    permuted = architecture in ("llama", "smollm3", "granite") and isinstance(config, DecoderConfig)
    if permuted and re.search("[qk]_proj", name):
        queries = "q_proj" in name
        return permute_for_gguf(rows, config.num_attention_heads if queries else config.num_key_value_heads)
    return rows


def write_gguf_lora(
    path: Path,
    config: ModelConfig,
    pairs: Mapping[str, tuple[npt.NDArray[Any], npt.NDArray[Any]]],
    *,
    alpha: float,
    renamed: bool = False,
) -> None:
    """Write a LoRA adapter as llama.cpp's converter does.

    Args:
        pairs: A and B by parameter, or by the names of GGUF files if ``renamed``.
    """
    architecture = _architecture(config)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[architecture.upper()], n_blocks=8)
    stacks = {} if renamed else config.stacked()
    inside = {part for parts in stacks.values() for part in parts}
    given = {} if renamed else {n: (a, _gguf_rows(config, architecture, n, b)) for n, (a, b) in pairs.items()}
    whole = {n: pair for n, pair in given.items() if n not in inside}
    for stack, parts in stacks.items():
        if parts[0] in given:
            whole[stack] = (given[parts[0]][0], np.concatenate([given[part][1] for part in parts]))
    stored = dict(pairs) if renamed else {names.get_name(n, (".weight",)): pair for n, pair in whole.items()}
    for name, (a, b) in stored.items():
        writer.add_tensor(f"{name}.lora_a", np.ascontiguousarray(a))
        writer.add_tensor(f"{name}.lora_b", np.ascontiguousarray(b))
    finish_gguf(writer)


def finish_gguf(writer: gguf.GGUFWriter) -> None:
    """Write what was added to a writer."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_metadata(writer: gguf.GGUFWriter, config: ModelConfig) -> None:
    writer.add_name("Tiny")
    writer.add_license("apache-2.0")
    writer.add_context_length(config.context_length)
    if isinstance(config, GPT2Config):
        writer.add_block_count(config.n_layer)
        writer.add_embedding_length(config.n_embd)
        writer.add_feed_forward_length(config.n_inner)
        writer.add_head_count(config.n_head)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
    elif isinstance(config, GPTNeoXConfig):
        writer.add_block_count(config.num_hidden_layers)
        writer.add_embedding_length(config.hidden_size)
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_head_count(config.num_attention_heads)
        writer.add_rope_dimension_count(config.rotary_dim)
        writer.add_parallel_residual(config.use_parallel_residual)
        writer.add_layer_norm_eps(config.layer_norm_eps)
    elif isinstance(config, DecoderConfig):
        writer.add_block_count(config.num_hidden_layers)
        writer.add_embedding_length(config.hidden_size)
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_head_count(config.num_attention_heads)
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_rope_freq_base(config.rope_theta)
        if config.head_dim * config.num_attention_heads != config.hidden_size:
            writer.add_key_length(config.head_dim)
            writer.add_value_length(config.head_dim)
        if config.rotary_dim:
            writer.add_rope_dimension_count(config.rotary_dim)
        if config.family == "olmo3":  # as YaRN, with the context of pretraining a quarter of the whole
            writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
            writer.add_rope_scaling_factor(4.0)
            writer.add_rope_scaling_orig_ctx_len(config.context_length // 4)
            writer.add_float32("olmo2.rope.scaling.yarn_attn_factor", config.rope_magnitude)
        elif config.rope_magnitude != 1:
            writer.add_rope_scaling_attn_factors(config.rope_magnitude)
            writer.add_rope_scaling_orig_ctx_len(config.context_length)
        elif config.rope_divisors:
            writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
            writer.add_rope_scaling_factor(config.rope_divisors[0])
        if config.sliding_window:
            writer.add_sliding_window(config.sliding_window)
        if config.local_rope_theta and config.family == "gemma3_text":
            writer.add_float32("gemma3.rope.freq_base_swa", config.local_rope_theta)
        if config.family == "granite":
            writer.add_embedding_scale(config.embedding_scale)
            writer.add_residual_scale(config.residual_scale)
            writer.add_attention_scale(config.score_scale)
            writer.add_logit_scale(1 / config.logit_scale)
    model = json.loads(tiny_tokenizer_json())["model"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(list(model["vocab"]))
    writer.add_token_types([3] * len(CONTROLS) + [1] * (len(model["vocab"]) - len(CONTROLS)))
    writer.add_token_merges([" ".join(merge) for merge in model["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
