"""Progress where there is no terminal."""

from __future__ import annotations

import pytest

from nlpsuite.cli import progress
from nlpsuite.cli.progress import Progress


def test_a_long_stage_says_how_long_it_will_take(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    shown = Progress()
    shown.stage("Preparing it", 4_000_000)
    for seconds in range(0, 100, 10):
        clock[0] = 100.0 + seconds
        shown.advance(10_000 * seconds)
    shown.stage("Done soon", None)
    shown.advance(1)
    shown.close()
    assert capsys.readouterr().err.splitlines() == [
        "Preparing it: 4 MB",
        "Preparing it: 8%, about 6 minutes left",
        "Preparing it: 15%, about 6 minutes left",
        "Preparing it: 22%, about 5 minutes left",
        "Done soon",
    ]
