"""A task that names its own adapter: merged into the base it was trained on, left out with a notice elsewhere."""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_plugins import install, nlpsuite
from tiny import write_tiny_checkpoint

from nlpsuite import load
from nlpsuite.errors import AdapterMismatchError, ModelNotFoundError, ModelUnavailableError, PluginError
from nlpsuite.export import cache
from nlpsuite.models.adapter import Adapter, AdapterInfo, fingerprint, save_adapter
from nlpsuite.models.checkpoint import open_checkpoint
from nlpsuite.models.spec import ModelSpec
from nlpsuite.plugins import load_task
from nlpsuite.runtime.bundle import Bundle
from nlpsuite.tasks.load import resolve_bundle
from nlpsuite.testing import check_task

CODE = '''"""Say more."""
from nlpsuite import Prompt, Task, hookimpl
class More(Task):
    name = "more"
    adapter = "more.safetensors"
    named_adapters = ("terse.safetensors",)
    long_input = "error"
    def prompt(self, record, options): return Prompt(text=record.text, max_tokens=2)
@hookimpl
def nlpsuite_task(): return More()
'''


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The one that the adapter is trained on, and another."""
    place = tmp_path_factory.mktemp("bases")
    return [write_tiny_checkpoint(place / name, seed) for seed, name in enumerate(("fitting", "other"))]


def write_adapter(path: Path, base: Path, **changes: Any) -> None:
    info: dict[str, Any] = {
        "task": "more",
        "task_version": "1",
        "distribution": "more-plugin",
        "distribution_version": "1.2",
        "base": "fitting",
        "base_fingerprint": fingerprint(open_checkpoint(base)),
        "rank": 2,
        "alpha": 4.0,
    }
    draw = np.random.default_rng(0).standard_normal
    layer = "model.layers.0.self_attn.q_proj"
    pair = {
        f"{layer}.lora_A.weight": draw((2, 64), np.float32),
        f"{layer}.lora_B.weight": draw((64, 2), np.float32),
    }
    save_adapter(path, AdapterInfo(**{**info, **changes}), pair)


@pytest.fixture
def package(bases: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package of an installed plugin that brings its adapter along."""
    place = tmp_path / "site"
    place.mkdir()
    install(place, "more", CODE, "more-plugin")
    package = place / "more_plugin"
    package.mkdir()
    (place / "more_plugin.py").rename(package / "__init__.py")
    write_adapter(package / "more.safetensors", bases[0])
    write_adapter(package / "terse.safetensors", bases[0], alpha=2.0)
    monkeypatch.syspath_prepend(place)
    monkeypatch.delitem(sys.modules, "more_plugin", raising=False)
    return package


@pytest.fixture
def resolved(package: Path) -> Callable[..., tuple[Bundle, list[str]]]:
    """Resolves the task's bundle; torch's and the exporter's own warnings are of no interest."""

    def resolve(**given: Any) -> tuple[Bundle, list[str]]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pytest.importorskip("onnxscript")
            path, notices = resolve_bundle(load_task("more"), precision="fp32", **given)
        return Bundle.open(path), notices

    return resolve


def test_it_is_merged_into_its_base(resolved, bases: list[Path], package: Path, monkeypatch) -> None:
    bundle, notices = resolved(model=str(bases[0]))
    assert bundle.adapter is not None and notices == []
    assert bundle.adapter["sha256"] == Adapter.open(package / "more.safetensors").sha256
    # The next start opens neither base nor adapter.
    monkeypatch.setattr(cache, "open_model", None)
    monkeypatch.setattr(Adapter, "open", None)
    assert resolved(model=str(bases[0])) == (bundle, [])


def test_another_base_runs_without_it(resolved, bases: list[Path], monkeypatch) -> None:
    bundle, notices = resolved(model=str(bases[1]))
    assert bundle.adapter is None and bundle.name == "other"
    assert notices == [
        "The adapter of more was trained on fitting, not on other: running without it. --adapter none silences this notice."
    ]
    monkeypatch.setattr(cache, "open_model", None)  # the bundle itself tells that it is another base's
    assert resolved(model=str(bases[1])) == (bundle, notices)


def test_the_user_goes_first(resolved, bases: list[Path], tmp_path: Path) -> None:
    bundle, notices = resolved(model=str(bases[0]), adapter="none")
    assert bundle.adapter is None and notices == []
    mine = tmp_path / "mine.safetensors"
    write_adapter(mine, bases[0], alpha=1.0)
    bundle, notices = resolved(model=str(bases[0]), adapter=mine)
    assert bundle.adapter is not None and bundle.adapter["sha256"] == Adapter.open(mine).sha256
    assert notices == []


def test_one_that_is_asked_for_by_name(resolved, bases: list[Path], package: Path) -> None:
    bundle, notices = resolved(model=str(bases[0]), adapter="terse")
    assert bundle.adapter is not None and notices == []
    assert bundle.adapter["sha256"] == Adapter.open(package / "terse.safetensors").sha256
    with pytest.raises(AdapterMismatchError):  # unlike the task's own, it was asked for
        resolved(model=str(bases[1]), adapter="terse")
    with pytest.raises(ModelNotFoundError) as raised:
        resolved(model=str(bases[0]), adapter="verbose")
    assert "more ships terse" in raised.value.hint
    (package / "terse.safetensors").unlink()
    with pytest.raises(PluginError, match=r"terse\.safetensors does not exist"):
        resolved(model=str(bases[0]), adapter="terse")


def test_a_bundle_stays_as_it_is(resolved, bases: list[Path]) -> None:
    plain, _ = resolved(model=str(bases[0]), adapter="none")
    bundle, notices = resolved(model=str(plain.path))
    assert bundle == plain and len(notices) == 1 and "is an exported bundle" in notices[0]
    adapted, _ = resolved(model=str(bases[0]))
    assert resolved(model=str(adapted.path)) == (adapted, [])


def test_a_base_that_is_gone_does_not_matter_while_its_bundle_is_cached(resolved, bases: list[Path]) -> None:
    def obtain(*args: Any) -> Path:
        if gone:
            raise ModelUnavailableError("Offline.")
        return bases[0]

    gone = False
    spec = ModelSpec("shelf", "some key", "shelf:one", obtain)
    plain, _ = resolved(model=spec, adapter="none")
    gone = True
    bundle, notices = resolved(model=spec)
    assert bundle == plain and len(notices) == 1 and "are unavailable: running without" in notices[0]
    with pytest.raises(ModelUnavailableError, match="Offline"):
        resolved(model=ModelSpec("shelf", "x", "shelf:two", obtain))


def test_a_fault_of_the_adapter_is_the_plugins(resolved, bases: list[Path], package: Path) -> None:
    file = package / "more.safetensors"
    whole = file.read_bytes()
    for content, message in (
        (whole[:-1], "is damaged"),
        (b"", "is damaged"),
        (None, r"more\.safetensors does not exist"),
    ):
        file.unlink() if content is None else file.write_bytes(content)
        with pytest.raises(PluginError, match=rf"'more' \(more-plugin 1.2, .*{message}"):
            resolved(model=str(bases[0]))
    resolved(model=str(bases[0]), adapter="none")  # without the adapter, its fault doesn't matter
    for name in ("../more.safetensors", "/more.safetensors", "more.bin"):
        type(load_task("more")).adapter = name
        with pytest.raises(PluginError, match="not a .safetensors file in its package"):
            resolved(model=str(bases[0]))


def test_a_derived_task_takes_it_from_where_it_is(resolved, package: Path, bases: list[Path]) -> None:
    task = load_task("more")
    derived = type("Derived", (type(task),), {"__module__": __name__})()
    path, notices = resolve_bundle(derived, model=str(bases[0]), precision="fp32")
    assert Bundle.open(path).adapter is not None and notices == []


def test_the_command_says_so_once(package: Path, resolved, bases: list[Path]) -> None:
    for base in bases:
        resolved(model=str(base))
    model = ["--precision", "fp32", "--text", "the sea", "--json", "--model"]
    fits, other = (nlpsuite(package.parent, "run", "more", *model, str(base)) for base in bases)
    assert (fits.returncode, fits.stderr, other.returncode) == (0, "", 0)
    assert json.loads(fits.stdout)["model"]["adapter"]["task"] == "more"
    assert other.stderr.count("\n") == 1 and "was trained on fitting, not on other" in other.stderr
    assert "adapter" not in json.loads(other.stdout)["model"]
    pipeline = load("more", model=str(bases[1]), precision="fp32")
    assert pipeline.notices == [other.stderr.strip()]
    off = nlpsuite(package.parent, "run", "more", "--adapter", "none", *model, str(bases[1]))
    assert (off.returncode, off.stderr) == (0, "")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file, base: None, ""),
        (lambda file, base: file.unlink(), "does not exist"),
        (lambda file, base: file.write_bytes(b"no adapter"), "is damaged"),
        (lambda file, base: write_adapter(file, base, task="less"), "trained for the task 'less'"),
        (lambda file, base: write_adapter(file, base, task_version="0"), "version '0' of the task, not '1'"),
        (lambda file, base: write_adapter(file, base, options={"hue": 1}), "no option"),
    ],
)  # fmt: skip
def test_the_check_looks_at_it(package: Path, bases: list[Path], damage, message: str) -> None:
    damage(package / "more.safetensors", bases[0])
    [finding] = [finding for finding in check_task("more") if finding.check == "adapter"]
    assert finding.ok is (not message) and message in finding.message
    if message:
        assert "more_plugin/__init__.py:5" in finding.where


def test_copying_the_package_elsewhere_keeps_it(package: Path, bases: list[Path], resolved) -> None:
    first, _ = resolved(model=str(bases[0]))
    shutil.copy(package / "more.safetensors", package / "again.safetensors")
    type(load_task("more")).adapter = "again.safetensors"
    assert resolved(model=str(bases[0])) == (first, [])  # the content is the key, not the name
