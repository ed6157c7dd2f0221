"""nlpsuite: NLP applications as plugins on one language model."""

__version__ = "0.1.0"
