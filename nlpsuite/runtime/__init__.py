"""Runs a bundle: numpy, onnxruntime and tokenizers only."""
