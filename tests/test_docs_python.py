"""The examples of docs/python.md run as they are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tiny import write_tiny_checkpoint

import nlpsuite

PAGE = (Path(__file__).parents[1] / "docs" / "python.md").read_text(encoding="utf-8")


def blocks(*headings: str) -> list[str]:
    """The Python of some sections, after that of the introduction."""
    sections = re.split(r"^## ", PAGE, flags=re.M)
    wanted = [sections[0], *(s for h in headings for s in sections if s.startswith(f"{h}\n"))]
    assert len(wanted) == 1 + len(headings)
    return [code for section in wanted for code in re.findall(r"```python\n(.*?)```", section, re.S)]


def run(codes: list[str], **settings: str) -> dict[str, Any]:
    """Run blocks one after the other, with ``name = None`` replaced by the settings."""
    names: dict[str, Any] = {}
    for code in codes:
        for name, value in settings.items():
            code = code.replace(f"{name} = None", f"{name} = {value!r}")
        exec(compile(code, "docs/python.md", "exec"), names)
    return names


@pytest.mark.model
def test_with_the_default_model(
    default_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    codes = blocks("Run a task", "Score", "Evaluate and compare", "Errors")
    names = run(codes, model=str(default_bundle))
    assert names["output"].label == "negative"
    assert names["report"].rows == 20 and names["report"].errors == 0
    out = capsys.readouterr().out
    assert "unknown-name" in out and "accuracy" in out and "perplexity" in out
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!")


def test_training_and_exporting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    rows = "".join(
        f"{i} {word},{label}\n"
        for i in range(8)
        for word, label in (("good", "positive"), ("bad", "negative"))
    )
    (tmp_path / "reviews.csv").write_text(f"text,label\n{rows}")
    codes = ["import nlpsuite", "from pathlib import Path", *blocks("Train and export")]
    codes = [
        code.replace("base=base", "base=base, max_length=256") for code in codes
    ]  # the tiny model's context
    names = run(codes, base=str(write_tiny_checkpoint(tmp_path / "tiny")))
    assert (tmp_path / "exported" / "sea" / "bundle.json").is_file()
    assert Path(names["adapted"].result).exists()


def test_the_table_names_public_functions() -> None:
    table = PAGE.split("\n\n")[2]
    names = re.findall(r"`([a-z_]+)\(", table) + re.findall(r"`([A-Z]\w+)`", table)
    assert set(names) - {"TASK"} <= set(nlpsuite.__all__)
    assert {"load", "score", "evaluate", "compare", "train_adapter", "train_lm", "export"} <= set(names)
