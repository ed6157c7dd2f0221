"""The reader of Parquet."""

from __future__ import annotations

import datetime
import decimal
import gzip
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nlpsuite.data.reading import try_rows
from nlpsuite.errors import InputInvalidError, InputNotFoundError, MissingExtraError


def write(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=1_000)
    return path


def test_values_are_arrows(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.parquet",
        id=pa.array(["007", None]),
        tags=pa.array([["a"], []]),
        at=pa.array([datetime.datetime(2026, 1, 2, 3, 4, 5, 6), None]),
        price=pa.array([decimal.Decimal("1.10"), None]),
        exact=pa.array([1_700_000_000_123_456_789, None], pa.timestamp("ns")),
    )
    first, second = list(try_rows("parquet", path))
    assert first == (
        1,
        {
            "id": "007",
            "tags": ["a"],
            "at": datetime.datetime(2026, 1, 2, 3, 4, 5, 6),
            "price": decimal.Decimal("1.10"),
            "exact": "2023-11-14 22:13:20.123456789",
        },
    )
    assert second == (2, {"id": None, "tags": [], "at": None, "price": None, "exact": None})


def test_rows_come_in_order_over_groups_and_batches(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", n=pa.array(range(5_000)))
    found = list(try_rows("parquet", path))
    assert found == [(n + 1, {"n": n}) for n in range(5_000)]


def test_a_torn_file_is_told_with_its_name(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.parquet", n=pa.array(["text"] * 100)).read_bytes()
    for length in (0, 3, 50, len(whole) - 1):
        (tmp_path / "b.parquet").write_bytes(whole[:length])
        with pytest.raises(InputInvalidError, match="b.parquet can't be read"):
            list(try_rows("parquet", tmp_path / "b.parquet"))
    with pytest.raises(InputNotFoundError, match=r"c\.parquet"):
        list(try_rows("parquet", tmp_path / "c.parquet"))


def test_packed_again_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", n=pa.array([1]))
    (tmp_path / "a.parquet.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    with pytest.raises(InputInvalidError, match="Decompress it"):
        list(try_rows("parquet", tmp_path / "a.parquet.gz"))


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InputInvalidError, match="two columns are called 'a'"):
        list(try_rows("parquet", tmp_path / "a.parquet"))


@pytest.mark.parametrize("name", ["a.parquet", "a.txt.zst"])
def test_what_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        MissingExtraError, match=r"needs pyarrow\.\nInstall it: pip install 'nlpsuite\[data\]'"
    ):
        list(try_rows(name.split(".")[1], tmp_path / name))
