"""What a job keeps of its rows is what was read: any text, any number, any value with a type of its own."""

from __future__ import annotations

import datetime
import json
import math
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from nlpsuite.batch.job import Job, write_manifest, write_staged
from nlpsuite.batch.storage import canonical, locked, seal, unseal
from nlpsuite.data.values import from_json, to_json

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS | st.just("$"), inner, max_size=3),
    max_leaves=6,
)
ZONES = st.sampled_from([None, datetime.UTC, datetime.timezone(datetime.timedelta(hours=5, minutes=30))])
TYPED = st.recursive(
    JSON
    | st.floats(allow_nan=False)
    | st.binary(max_size=9)
    | st.decimals(allow_nan=False)
    | st.dates()
    | st.datetimes(timezones=ZONES)
    | st.times()
    | st.timedeltas(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS | st.just("$"), inner, max_size=3),
    max_leaves=6,
)


@given(TYPED)
def test_values_with_types_come_back(value: Any) -> None:
    stored = json.loads(canonical(to_json(value)))
    again = from_json(stored)
    assert again == value and canonical(to_json(again)) == canonical(to_json(value))


def test_no_number_comes_back_as_none() -> None:
    assert math.isnan(from_json(json.loads(canonical(to_json(math.nan)))))


@given(st.lists(JSON, min_size=1, max_size=5), st.integers(0, 9))
def test_what_is_sealed_is_whole_or_nothing(values: list[Any], chunk: int) -> None:
    data = seal(chunk, map(canonical, values))
    assert unseal(chunk, data) == values
    assert unseal(chunk + 1, data) is None
    assert all(unseal(chunk, data[:length]) is None for length in range(len(data)))
    assert unseal(chunk, data + b"\n") is None and unseal(chunk, data + data) is None


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(TEXTS | st.integers(), st.dictionaries(TEXTS, JSON, max_size=4)), min_size=1, max_size=4
    )
)
def test_rows_come_back(rows: list[tuple[Any, dict[str, Any]]]) -> None:
    given = [{"line": i, "id": identity, "values": values} for i, (identity, values) in enumerate(rows)]
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place, "a.job")
        with locked(directory):
            for typed in (False, True):
                write_staged(directory, 0, given, typed)
                keys = {"chunk_rows": len(rows)}
                manifest = {
                    "format": "nlpsuite-job",
                    "version": 1,
                    "rows": len(rows),
                    "typed": typed,
                    "keys": keys,
                }
                write_manifest(directory, manifest)
                assert Job.open(directory).staged(0) == given
