"""Readers of CSV, TSV, JSON lines, plain text and Parquet."""
