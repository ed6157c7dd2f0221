"""Metrics as row statistics, with their resampling."""
