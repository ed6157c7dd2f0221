"""Weights and an architecture become a bundle. Only ``graph`` needs torch."""
