"""Read files of rows: CSV, TSV as GLUE writes it (no quoting), JSON lines, plain lines and Parquet."""

from __future__ import annotations

from nlpsuite import hookimpl
from nlpsuite.tasks.lines import Reader


@hookimpl
def nlpsuite_reader(suffix: str) -> Reader:
    if suffix == "parquet":
        from nlpsuite_readers.columns import read_parquet

        return read_parquet
    from nlpsuite_readers import delimited, text

    return {
        "csv": delimited.read_csv,
        "tsv": delimited.read_tsv,
        "jsonl": text.read_json_lines,
        "ndjson": text.read_json_lines,
        "txt": text.read_text_lines,
    }[suffix]
