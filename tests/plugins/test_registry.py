"""How often plugins are judged, and that a change of what decides it is noticed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from fake_plugins import good, install

from nlpsuite.cli import _run
from nlpsuite.plugins import registry
from nlpsuite.plugins.manage import disable, enable
from nlpsuite.plugins.scan import Plugin
from nlpsuite.plugins.state import State


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Counter[str]:
    """How often each plugin was judged so far, from an empty cache and record."""
    monkeypatch.setenv("NLPSUITE_CONFIG_DIR", str(tmp_path / "config"))
    counts: Counter[str] = Counter()
    original = registry._judge

    def count(plugin: Plugin, state: State) -> Plugin:
        counts[f"{plugin.key} of {plugin.distribution}"] += 1
        return original(plugin, state)

    monkeypatch.setattr(registry, "_judge", count)
    registry._judged.cache_clear()
    return counts


@pytest.mark.parametrize(
    "args",
    [
        ["run", "complete", "--help"],
        ["list"],
        ["run", "no-such-task"],
        ["eval", "sentiment", "ROWS", "--baseline", "majority"],
    ],
)
def test_a_command_judges_each_plugin_once(args: list[str], judged: Counter[str], tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "Good.", "label": "positive"}\n{"text": "Bad.", "label": "negative"}\n')
    _run([str(rows) if word == "ROWS" else word for word in args])
    assert judged and set(judged.values()) == {1}


def test_what_the_user_decides_meanwhile_is_noticed(
    judged: Counter[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def states() -> dict[str, str]:
        return {plugin.name: plugin.state for plugin in registry.known_plugins() if plugin.kind == "task"}

    assert states()["chat"] == "enabled"
    disable("chat")
    assert states()["chat"] == "disabled"
    enable("chat")
    assert states()["chat"] == "enabled"
    monkeypatch.setenv("NLPSUITE_NO_PLUGINS", "chat")
    assert states()["chat"] == "blocked"
    (tmp_path / "place").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "place"))
    install(tmp_path / "place", "fresh", good("fresh"), "fresh-plugin")
    assert states()["fresh"] == "enabled"
