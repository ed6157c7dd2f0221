"""Graph templates: find and read the one that fits a model."""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, Literal, TypeAlias

from nlpsuite.models.config import DecoderConfig, ModelConfig, config_from_hf

if TYPE_CHECKING:
    import onnx

__all__ = [
    "CONFIG_KEY",
    "SMOLLM2_135M_CONFIG",
    "WEIGHTS_PLACEHOLDER",
    "DType",
    "Layout",
    "probe_text",
    "template_config",
    "template_for",
]

Layout: TypeAlias = Literal["slots", "portable"]  # for our runtime; for other apps
DType: TypeAlias = Literal["fp32", "fp16"]  # of weights, state and logits

# The default model's, for which templates are shipped.
SMOLLM2_135M_CONFIG = DecoderConfig(
    vocab_size=49_152,
    hidden_size=576,
    intermediate_size=1_536,
    num_hidden_layers=30,
    num_attention_heads=9,
    num_key_value_heads=3,
    head_dim=64,
    max_position_embeddings=8_192,
    rope_theta=100_000.0,
    rms_norm_eps=1e-5,
    tie_word_embeddings=True,
)

# The external-data location of a weight that isn't filled in yet.
WEIGHTS_PLACEHOLDER = "weights-to-be-filled"
# The model's config.json in the template's metadata: it says which models fit.
CONFIG_KEY = "nlpsuite.config"


def template_for(config: ModelConfig, layout: Layout, dtype: DType = "fp32") -> onnx.ModelProto | None:
    """The shipped template for exactly this configuration, layout and type, or None.

    Decoders have none for *slots*: see ``decoder_graph``.
    """
    import onnx

    for entry in sorted(_templates().iterdir(), key=lambda e: e.name):
        if entry.name.endswith(f".{layout}.{dtype}.onnx"):
            model = onnx.load_model_from_string(entry.read_bytes())
            if template_config(model) == config:
                return model
    return None


def template_config(model: onnx.ModelProto) -> ModelConfig:
    """The configuration a template was exported from."""
    properties = {p.key: p.value for p in model.metadata_props}
    return config_from_hf(json.loads(properties[CONFIG_KEY]))


def probe_text() -> str:
    """A text for measuring models: English prose and Python."""
    return resources.files("nlpsuite.export").joinpath("probe.txt").read_text(encoding="utf-8").strip()


def _templates() -> resources.abc.Traversable:
    return resources.files("nlpsuite.export") / "templates"
