"""Write the results of jobs: CSV, TSV without quoting, JSON lines and Parquet."""

from __future__ import annotations

from nlpsuite import hookimpl
from nlpsuite.jobs.tables import Writer


@hookimpl
def nlpsuite_writer(suffix: str) -> Writer:
    if suffix == "parquet":
        from nlpsuite_writers.columns import write_parquet

        return write_parquet
    from nlpsuite_writers import text

    return {
        "csv": text.write_csv,
        "tsv": text.write_tsv,
        "jsonl": text.write_json_lines,
        "ndjson": text.write_json_lines,
    }[suffix]
