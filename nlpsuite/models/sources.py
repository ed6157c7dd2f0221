"""Where bases come from."""
from __future__ import annotations

from nlpsuite.models.config import DecoderConfig

__all__ = ["SMOLLM2_135M_CONFIG"]

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
