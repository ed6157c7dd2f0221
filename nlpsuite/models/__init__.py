"""Architectures and checkpoint readers. Only ``decoder`` needs torch."""
