"""What training an adapter takes in memory by its settings, computed before the base is loaded."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from nlpsuite.errors import TrainingError
from nlpsuite.models.config import DecoderConfig, ModelConfig
from nlpsuite.training.acceleration import uses_bf16
from nlpsuite.training.distributed import World
from nlpsuite.training.preflight import available_memory
from nlpsuite.training.report import TrainReporter
from nlpsuite.training.settings import AdapterSettings

__all__ = ["Estimate", "check_fit", "estimate", "ways_to_fit"]

# Weights and optimizer of what is trained: float32 values, gradients and two moments.
_TRAINED_BYTES = 16
# A quantised layer: between Q4_0 and Q4_K with some layers in Q6_K.
_BLOCK_BITS = 5
# torch and what it sets up. On a GPU its own memory alone is counted.
_PROCESS_BYTES = 400_000_000
_PART_LOGITS = 1 << 24


@dataclass(frozen=True)
class Estimate:
    """Bytes of an adapter's training.

    Attributes:
        weights: of the base.
        trained: of the adapter, its gradients and its optimizer's moments; or of all weights.
        activations: what a batch's gradients need.
    """

    weights: int
    trained: int
    activations: int

    @property
    def total(self) -> int:
        return self.weights + self.trained + self.activations + _PROCESS_BYTES


def estimate(config: DecoderConfig, settings: AdapterSettings, *, bf16: bool) -> Estimate:
    """What a batch of ``settings.batch_tokens`` tokens takes, a third of them to learn. Roughly: within a third."""
    width = 2 if bf16 else 4
    matrices = [shape for name, shape in config.parameter_shapes() if ".layers." in name and len(shape) == 2]
    layers = sum(math.prod(shape) for shape in matrices)
    rest = config.parameter_count() - layers
    low_rank = settings.rank * sum(sum(shape) for shape in matrices)
    if settings.full:
        weights, trained = 0, _TRAINED_BYTES * config.parameter_count()
    elif settings.quantized_base:
        weights, trained = layers * _BLOCK_BITS // 8 + rest * width, _TRAINED_BYTES * low_rank
        weights += 3 * max(map(math.prod, matrices)) * 4  # one layer's floats while it is called
    else:
        weights, trained = width * config.parameter_count(), _TRAINED_BYTES * low_rank
    return Estimate(weights, trained, _activations(config, settings, width))


def _activations(config: DecoderConfig, settings: AdapterSettings, width: int) -> int:
    tokens, hidden = settings.batch_tokens, config.hidden_size
    heads = (config.num_attention_heads + config.num_key_value_heads) * config.head_dim
    # Of each layer: the inputs of norms, projections, attention and gate, and of the adapter's matrices.
    layer = tokens * width * (6 * hidden + 4 * heads + 5 * config.intermediate_size)
    logits = 3 * 4 * config.vocab_size * tokens // 3  # in float32, with their softmax and gradient
    if not settings.gradient_checkpointing:
        return config.num_hidden_layers * layer + logits
    inputs = config.num_hidden_layers * tokens * hidden * width
    return inputs + layer + min(logits, 3 * 4 * _PART_LOGITS)


def ways_to_fit(
    config: DecoderConfig, settings: AdapterSettings, *, bf16: bool
) -> list[tuple[str, AdapterSettings, Estimate]]:
    """What to change, from the least to the most, as flags; the settings as they are come first."""
    found: list[tuple[str, AdapterSettings, Estimate]] = []
    flags: list[str] = []
    for flag in ("", "gradient_checkpointing", "quantized_base"):
        if flag and (getattr(settings, flag) or (flag == "quantized_base" and settings.fsdp)):
            continue
        if flag == "quantized_base" and settings.full:
            settings = dataclasses.replace(settings, full=False)
            flags.append("without --full")
        if flag:
            changes: dict[str, Any] = {flag: True}
            settings = dataclasses.replace(settings, **changes)
            flags.append(f"--{flag.replace('_', '-')}")
        found.append((" ".join(flags), settings, estimate(config, settings, bf16=bf16)))
    return found


def check_fit(config: ModelConfig, settings: AdapterSettings, world: World, reporter: TrainReporter) -> None:
    """Say what fits where memory is short, before a base is loaded that doesn't.

    Raises:
        TrainingError: weights and what is trained can't fit, whatever the batch.
    """
    free = available_memory(world.device)
    if free is None or not isinstance(config, DecoderConfig) or settings.fsdp:
        return
    ways = ways_to_fit(config, settings, bf16=uses_bf16(settings.precision, world.device))
    as_it_is = ways[0][2]
    if as_it_is.total < 0.8 * free:
        return
    listed = "; ".join(f"{flags or 'as it is'} {made.total / 1e9:.1f} GB" for flags, _, made in ways)
    message = f"Training takes about, of {free / 1e9:.1f} GB free on {world.device.type}: {listed}."
    if as_it_is.weights + as_it_is.trained > free:
        fitting = next((flags for flags, _, made in ways[1:] if made.total < free), "")
        hint = f"It fits with: {fitting}" if fitting else "Use a smaller model or a smaller --batch-tokens."
        raise TrainingError(message, hint=hint)
    reporter.notice(message)
