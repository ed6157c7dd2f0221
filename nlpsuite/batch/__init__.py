"""Batch scoring: jobs that survive crashes, their engines and results."""
