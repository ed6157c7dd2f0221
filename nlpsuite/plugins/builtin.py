"""What the core brings itself, by kind and name: ``module:attribute``, imported at first use."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["BUILTIN"]

_METRICS = "nlpsuite.evaluation.metrics"
_READERS, _WRITERS = "nlpsuite.data.readers", "nlpsuite.data.writers"

BUILTIN: Mapping[str, Mapping[str, str]] = {
    "metric": {
        "accuracy": f"{_METRICS}.labels:accuracy",
        "macro_f1": f"{_METRICS}.labels:macro_f1",
        "label_micro_f1": f"{_METRICS}.label_sets:label_micro_f1",
        "label_macro_f1": f"{_METRICS}.label_sets:label_macro_f1",
        "ece": f"{_METRICS}.calibration:ece",
        "exact_match": f"{_METRICS}.text:exact_match",
        "edit_similarity": f"{_METRICS}.text:edit_similarity",
        "bleu": f"{_METRICS}.bleu:bleu",
        "chrf": f"{_METRICS}.bleu:chrf",
        "ter": f"{_METRICS}.bleu:ter",
        "rouge_1": f"{_METRICS}.rouge:rouge_1",
        "rouge_2": f"{_METRICS}.rouge:rouge_2",
        "rouge_l": f"{_METRICS}.rouge:rouge_l",
        "rouge_lsum": f"{_METRICS}.rouge:rouge_lsum",
        "invented_numbers": f"{_METRICS}.faithfulness:invented_numbers",
        "invented_names": f"{_METRICS}.faithfulness:invented_names",
        "invented_quotes": f"{_METRICS}.faithfulness:invented_quotes",
        "pass_at_k": f"{_METRICS}.pass_at_k:pass_at_k",
    },
    "source": {"hf": "nlpsuite.models.hub:hub_source"},
    "reader": {
        "csv": f"{_READERS}.delimited:read_csv",
        "tsv": f"{_READERS}.delimited:read_tsv",
        "json": f"{_READERS}.text:read_json",
        "jsonl": f"{_READERS}.text:read_json_lines",
        "ndjson": f"{_READERS}.text:read_json_lines",
        "txt": f"{_READERS}.text:read_text_lines",
        "parquet": f"{_READERS}.parquet:read_parquet",
    },
    "writer": {
        "csv": f"{_WRITERS}.text:write_csv",
        "tsv": f"{_WRITERS}.text:write_tsv",
        "jsonl": f"{_WRITERS}.text:write_json_lines",
        "ndjson": f"{_WRITERS}.text:write_json_lines",
        "parquet": f"{_WRITERS}.parquet:write_parquet",
    },
    "engine": {
        "local": "nlpsuite.batch.engines.local:run_here",
        "ray": "nlpsuite.batch.engines.ray_engine:run_on_ray",
    },
}
