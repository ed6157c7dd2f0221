"""The adapters that the bundled tasks ship with."""

from __future__ import annotations

from pathlib import Path

import pytest

import nlpsuite
from nlpsuite.models.adapter import Adapter, fingerprint
from nlpsuite.models.checkpoint import open_checkpoint
from nlpsuite.options import make_options
from nlpsuite.plugins import load_task
from nlpsuite.tasks.adapters import adapter_fault, shipped_adapters

ROOT = Path(__file__).parents[2]
# Two are used only where they are asked for.
ADAPTERS = {
    "complete": "python.safetensors",
    "sentiment": "adapter.safetensors",
    "summarize": "abstract.safetensors",
    "translate": "adapter.safetensors",
}


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> Adapter:
    task = load_task(request.param)
    [path] = shipped_adapters(task)
    assert path.name == ADAPTERS[request.param]
    assert adapter_fault(task, path) is None
    return Adapter.open(path)


def test_they_are_small() -> None:
    paths = sorted((ROOT / "plugins").glob("*/*.safetensors"))
    assert [path.name for path in paths] == list(ADAPTERS.values())
    sizes = [path.stat().st_size for path in paths]
    assert max(sizes) <= 20e6
    assert sum(sizes) <= 60e6


def test_they_are_of_this_version(adapter: Adapter) -> None:
    task = load_task(adapter.info.task)
    assert adapter.info.task_version == task.version
    make_options(task.options, dict(adapter.info.options))
    assert adapter.info.license == "apache-2.0"
    assert adapter.info.evaluation and all(entry["license"] for entry in adapter.info.data)


def test_each_has_a_card_and_a_recipe(adapter: Adapter) -> None:
    task = adapter.info.task
    assert f"# Adapter of {task}" in (ROOT / "exported" / f"{task}.md").read_text(encoding="utf-8")
    assert (ROOT / "plugins" / f"nlpsuite_{task}" / "recipe" / "run.sh").is_file()


@pytest.mark.model
def test_their_base_is_the_default_model(adapter: Adapter, default_gguf: Path) -> None:
    assert adapter.info.base_fingerprint == fingerprint(open_checkpoint(default_gguf))


EVERYDAY = {
    "positive": [
        "I love it",
        "I love it.",
        "Loved it.",
        "This is great",
        "not bad at all",
        "Works as described.",
    ],
    "negative": [
        "I hate it",
        "my order never came",
        "not good",
        "Could be better",
        "I can't recommend this hotel",
    ],
    "neutral": ["The meeting is on Tuesday.", "It is in the box."],
}


@pytest.mark.model
def test_sentiment_of_plain_phrases(default_gguf: Path) -> None:
    sentiment = nlpsuite.load("sentiment", model=default_gguf)
    assert not sentiment.notices
    for label in ("positive", "negative"):
        assert {output.label for output in sentiment.map(EVERYDAY[label])} == {label}
    for label, phrases in EVERYDAY.items():
        found = sentiment.map(phrases[:2], labels="positive,negative,neutral")
        assert {output.label for output in found} == {label}


@pytest.mark.model
def test_translations_of_plain_sentences(default_gguf: Path) -> None:
    translate = nlpsuite.load("translate", model=default_gguf)
    assert not translate.notices
    text = "- A man is riding a bike.\n- 12:30\n"
    assert translate(text).text.startswith("- Ein Mann fährt")
    assert "homme" in translate(text, to="fr").text and "12:30" in translate(text, to="fr").text
    assert "dog" in translate("Ein Hund läuft über die Straße.", to="en").text


@pytest.mark.model
def test_a_gap_in_python(default_gguf: Path) -> None:
    complete = nlpsuite.load("complete", model=default_gguf, adapter="python")
    filled = complete("for i, item in ", suffix="(items):\n    print(i, item)\n", line=True)
    assert filled.text.strip() == "enumerate"  # only who reads the suffix knows
