"""Writers of CSV, TSV, JSON lines and Parquet."""
