"""A bundle: a directory that holds an ONNX graph, its tokenizer and a manifest.

``bundle.json`` names every other file with its size and sha256. docs/bundle.md describes
the format for readers in other languages.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from nlpsuite.errors import BundleCorruptError, ModelNotFoundError
from nlpsuite.files import sha256_file

__all__ = ["EXACTNESS_GRAPH", "FORMAT", "FORMAT_VERSION", "MANIFEST", "Bundle", "Graph"]

MANIFEST = "bundle.json"
FORMAT = "nlpsuite-bundle"
FORMAT_VERSION = 1
EXACTNESS_GRAPH = "onnx/exactness.onnx"


@dataclass(frozen=True)
class Graph:
    """One ONNX file of a bundle.

    Attributes:
        layout: ``slots`` (ours) or ``portable`` (other apps).
        precision: ``fp32``, ``fp16``, ``int8`` or ``int4``.
        path: relative to the bundle, with forward slashes.
        kernels: ``int8-signed`` or ``int8-unsigned`` if the graph needs that integer product to be exact,
            which ``EXACTNESS_GRAPH`` finds out; otherwise empty.
    """

    layout: str
    precision: str
    path: str
    kernels: str = ""


@dataclass(frozen=True)
class Bundle:
    """An opened bundle. Make one with ``Bundle.open``.

    Attributes:
        path: the directory.
        name: display name of the model.
        context_length: maximum number of tokens in the context.
        end_token_ids: tokens that end a text.
        parameters: number of weights; 0 in bundles of earlier versions.
        license: of the weights, as an SPDX identifier where the source gave one.
        origin: source of the weights, with files and their sha256.
        files: relative path to ``{"sha256", "bytes"}``.
        created_by: the program and version that wrote the bundle.
        adapter: what was merged into the weights: ``task`` (empty if unknown), ``task_version``,
            ``options`` (it was trained with), ``temperature`` (of choices), ``sha256`` and more, see
            docs/bundle.md; None for a plain base.
        verification: results of the comparison with torch at export; None if there was none.
    """

    path: Path
    name: str
    context_length: int
    end_token_ids: tuple[int, ...]
    graphs: tuple[Graph, ...]
    files: dict[str, dict[str, Any]] = field(repr=False)
    license: str | None = None
    origin: dict[str, Any] = field(default_factory=dict)
    created_by: str = ""
    adapter: dict[str, Any] | None = None
    verification: dict[str, Any] | None = None
    parameters: int = 0

    @classmethod
    def open(cls, path: Path) -> Bundle:
        """Read the manifest and check the files' presence and sizes, but not their content.

        Raises:
            ModelNotFoundError: there is no manifest.
            BundleCorruptError: an unreadable manifest, or a file missing or of another size.
        """
        try:
            text = (path / MANIFEST).read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            raise ModelNotFoundError(
                f"{path} is not a bundle: it has no {MANIFEST}.",
                hint="Give a bundle directory, a .gguf file or a Hugging Face checkpoint directory.",
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise _corrupt(path, f"{MANIFEST} can't be read ({error})") from None
        try:
            bundle = cls._parse(path, json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _corrupt(path, f"{MANIFEST} is damaged ({error!r})") from None
        bundle._check_sizes()
        return bundle

    @classmethod
    def _parse(cls, path: Path, manifest: dict[str, Any]) -> Bundle:
        if manifest["format"] != FORMAT or manifest["version"] > FORMAT_VERSION:
            raise BundleCorruptError(
                f"{path} has format {manifest['format']!r} version {manifest['version']}; "
                f"this nlpsuite reads {FORMAT!r} up to version {FORMAT_VERSION}.",
                hint="Upgrade nlpsuite, or export the bundle again.",
            )
        for name in manifest["files"]:
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name:
                raise ValueError(f"file name {name!r} leaves the bundle")
        graphs = tuple(Graph(**graph) for graph in manifest["graphs"])
        for graph in graphs:
            if graph.path not in manifest["files"]:
                raise ValueError(f"graph {graph.path!r} is not among the files")
            if graph.kernels and EXACTNESS_GRAPH not in manifest["files"]:
                raise ValueError(f"{EXACTNESS_GRAPH} is not among the files")
        return cls(
            path=path,
            name=str(manifest["name"]),
            context_length=int(manifest["context_length"]),
            parameters=int(manifest.get("parameters", 0)),
            end_token_ids=tuple(int(i) for i in manifest["end_token_ids"]),
            graphs=graphs,
            files={
                str(name): {"sha256": str(entry["sha256"]), "bytes": int(entry["bytes"])}
                for name, entry in manifest["files"].items()
            },
            license=manifest.get("license", manifest.get("licence")),  # the spelling before 0.1
            origin=manifest.get("origin", {}),
            created_by=str(manifest.get("created_by", "")),
            adapter=_adapter(manifest.get("adapter")),
            verification=None if manifest.get("verification") is None else dict(manifest["verification"]),
        )

    def graph(self, layout: str = "slots") -> Graph:
        """The graph of that layout. Raises ModelNotFoundError if the bundle has none."""
        for graph in self.graphs:
            if graph.layout == layout:
                return graph
        has = " and ".join(sorted({graph.layout for graph in self.graphs}))
        raise ModelNotFoundError(
            f"{self.path} has no graph of layout {layout!r}, only {has}.",
            hint=f"Export the model with --layout {layout}.",
        )

    @property
    def fingerprint(self) -> str:
        """sha256 over the names and hashes of all files: changes whenever results may."""
        lines = sorted(f"{name} {entry['sha256']}\n" for name, entry in self.files.items())
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @property
    def size_bytes(self) -> int:
        return sum(int(entry["bytes"]) for entry in self.files.values())

    def verify(self) -> None:
        """Hash every file. About 0.1 s for 150 MB on a CPU with SHA instructions.

        Raises:
            BundleCorruptError: a file differs from the manifest.
        """
        for name, entry in self.files.items():
            try:
                digest = sha256_file(self.path / name)
            except OSError as error:
                raise _corrupt(self.path, f"{name} can't be read ({error})") from None
            if digest != entry["sha256"]:
                raise _corrupt(self.path, f"{name} has changed since it was written (sha256 differs)")

    def _check_sizes(self) -> None:
        for name, entry in self.files.items():
            file = self.path / name
            if not file.is_file():
                raise _corrupt(self.path, f"{name} is missing")
            if file.stat().st_size != entry["bytes"]:
                raise _corrupt(
                    self.path, f"{name} has {file.stat().st_size:,} bytes instead of {entry['bytes']:,}"
                )


def _adapter(entry: dict[str, Any] | None) -> dict[str, Any] | None:
    if entry is None:
        return None
    names = {key: str(entry[key]) for key in ("task", "task_version", "sha256")}
    temperature = float(entry.get("temperature", 1.0))
    if not 0 < temperature < math.inf:
        raise ValueError(f"the temperature is {temperature}")
    return {**entry, **names, "options": dict(entry["options"]), "temperature": temperature}


def _corrupt(path: Path, what: str) -> BundleCorruptError:
    return BundleCorruptError(
        f"The bundle {path} is damaged: {what}.",
        hint="Remove it with `nlpsuite models rm` (or delete the directory) and run again to rebuild it.",
    )
