"""Readers of CSV, TSV, JSON, JSON lines, plain text and Parquet."""
