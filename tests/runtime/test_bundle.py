"""Opening and verifying: whatever is wrong with a bundle, it is said before anything runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nlpsuite.errors import BundleCorruptError, ModelNotFoundError
from nlpsuite.runtime.bundle import FORMAT_VERSION, MANIFEST, Bundle

FILES = [
    "README.md",
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "onnx/slots.onnx",
    "onnx/slots.onnx_data",
    "tokenizer.json",
    "tokenizer_config.json",
]


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def edit(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((bundle / MANIFEST).read_text())
    change(manifest)
    (bundle / MANIFEST).write_text(json.dumps(manifest))


def flip(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 0x10
    file.write_bytes(data)


def test_an_intact_bundle(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    bundle.verify()
    assert sorted(bundle.files) == FILES
    assert sorted(
        p.relative_to(tiny_bundle).as_posix() for p in tiny_bundle.rglob("*") if p.is_file()
    ) == sorted([*FILES, MANIFEST])
    assert bundle.name == "tiny-random"
    assert bundle.context_length == 256
    assert bundle.end_token_ids == (0, 2)
    assert bundle.graph().path == "onnx/slots.onnx" and bundle.graph().precision == "fp32"
    assert bundle.origin["source"] == "random weights"
    assert [f["name"] for f in bundle.origin["files"]] == ["model.safetensors"]
    assert bundle.created_by.startswith("nlpsuite ")
    assert bundle.size_bytes == sum((tiny_bundle / name).stat().st_size for name in FILES)


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_is_found_in_each_file(bundle: Path, name: str) -> None:
    size = (bundle / name).stat().st_size
    for at in (0, size // 2, size - 1):
        flip(bundle / name, at)
        with pytest.raises(BundleCorruptError, match=f"{name} has changed") as raised:
            Bundle.open(bundle).verify()
        assert raised.value.exit_code == 5 and "models rm" in raised.value.hint
        flip(bundle / name, at)
    Bundle.open(bundle).verify()


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_or_longer_file_is_found_at_once(bundle: Path, name: str) -> None:
    data = (bundle / name).read_bytes()
    for wrong in (b"", data[:-1], data + b"\0"):
        (bundle / name).write_bytes(wrong)
        with pytest.raises(
            BundleCorruptError, match=f"{name} has {len(wrong):,} bytes instead of {len(data):,}"
        ):
            Bundle.open(bundle)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_found_at_once(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(BundleCorruptError, match=f"{name} is missing"):
        Bundle.open(bundle)
    (bundle / name).mkdir()
    with pytest.raises(BundleCorruptError, match=f"{name} is missing"):
        Bundle.open(bundle)


def test_a_file_that_goes_after_opening(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    (bundle / "config.json").unlink()
    with pytest.raises(BundleCorruptError, match="config.json can't be read"):
        opened.verify()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "3", '"text"', "{}", "[" * 100_000, '{"format": "nlpsuite-bundle"}', "\ufeff{}"],
    ids=str.__len__,
)
def test_a_manifest_that_is_no_manifest(bundle: Path, text: str) -> None:
    (bundle / MANIFEST).write_text(text, encoding="utf-8")
    with pytest.raises(BundleCorruptError, match="damaged"):
        Bundle.open(bundle)


def test_a_manifest_that_is_no_text(bundle: Path) -> None:
    (bundle / MANIFEST).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BundleCorruptError, match="can't be read"):
        Bundle.open(bundle)


KEYS = ["format", "version", "name", "context_length", "end_token_ids", "graphs", "files"]


@pytest.mark.parametrize("key", KEYS)
def test_a_manifest_without_a_key(bundle: Path, key: str) -> None:
    edit(bundle, lambda m: m.pop(key))
    with pytest.raises(BundleCorruptError, match=key):
        Bundle.open(bundle)


@pytest.mark.parametrize(
    "key,value",
    [
        ("version", "2"),
        ("context_length", "many"),
        ("end_token_ids", 2),
        ("end_token_ids", ["x"]),
        ("graphs", [{"layout": "slots"}]),
        ("graphs", [{"layout": "slots", "precision": "fp32", "path": "onnx/other.onnx"}]),
        ("files", ["config.json"]),
        ("files", {"config.json": {"bytes": 1}}),
        ("files", {"config.json": {"sha256": "00"}}),
        ("files", {"config.json": 3}),
    ],
)
def test_a_manifest_with_a_wrong_value(bundle: Path, key: str, value: object) -> None:
    edit(bundle, lambda m: m.update({key: value}))
    with pytest.raises(BundleCorruptError):
        Bundle.open(bundle)


def test_a_file_without_a_checksum_is_never_taken_as_verified(bundle: Path) -> None:
    edit(bundle, lambda m: m["files"]["onnx/slots.onnx_data"].pop("sha256"))
    with pytest.raises(BundleCorruptError, match="sha256"):
        Bundle.open(bundle)


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "onnx/../../secret", "..\\secret", "C:\\x"])
def test_names_that_leave_the_bundle_are_refused(bundle: Path, name: str) -> None:
    (bundle.parent / "secret").write_text("x")
    edit(bundle, lambda m: m["files"].update({name: {"sha256": "00", "bytes": 1}}))
    with pytest.raises(BundleCorruptError, match="leaves the bundle"):
        Bundle.open(bundle)


def test_a_newer_or_foreign_format_asks_for_an_upgrade(bundle: Path) -> None:
    edit(bundle, lambda m: m.update(version=FORMAT_VERSION + 1))
    with pytest.raises(BundleCorruptError, match=f"version {FORMAT_VERSION + 1}") as raised:
        Bundle.open(bundle)
    assert "Upgrade" in raised.value.hint
    edit(bundle, lambda m: m.update(version=1, format="other"))
    with pytest.raises(BundleCorruptError, match="'other'"):
        Bundle.open(bundle)


def test_places_without_a_bundle(tmp_path: Path, bundle: Path) -> None:
    for place in (tmp_path, tmp_path / "absent", bundle / "config.json"):
        with pytest.raises(ModelNotFoundError, match="not a bundle"):
            Bundle.open(place)


def test_a_layout_that_is_not_there(tiny_bundle: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="'portable'"):
        Bundle.open(tiny_bundle).graph("portable")


def test_the_fingerprint_follows_the_content(bundle: Path, tiny_bundle: Path, tiny_bundle_int8: Path) -> None:
    original = Bundle.open(tiny_bundle).fingerprint
    assert Bundle.open(bundle).fingerprint == original
    assert Bundle.open(tiny_bundle_int8).fingerprint != original
    edit(bundle, lambda m: m.update(name="renamed"))
    assert Bundle.open(bundle).fingerprint == original
    edit(bundle, lambda m: m["files"]["config.json"].update(sha256="0" * 64))
    assert Bundle.open(bundle).fingerprint != original
