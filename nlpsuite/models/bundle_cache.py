"""The bundles built on this machine: list them, find one by name, remove one."""

from __future__ import annotations

import difflib
import os
import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from nlpsuite.errors import (
    BundleCorruptError,
    ModelNotFoundError,
    NlpsuiteError,
    OptionError,
    StorageError,
)
from nlpsuite.files import TEMPORARY
from nlpsuite.models import sources
from nlpsuite.paths import bundles_dir
from nlpsuite.runtime.bundle import MANIFEST, Bundle

__all__ = ["DEFAULT_PRECISION", "MODEL_FORMS", "BundleCache", "CachedBundle"]

DEFAULT_PRECISION = "int8"
MODEL_FORMS = (
    "Give 'default', a bundle directory, a .gguf file, a Hugging Face model directory, hf:owner/name, "
    "or a name that `nlpsuite models` or `nlpsuite models catalog` lists."
)


@dataclass(frozen=True)
class CachedBundle:
    """A bundle in the cache.

    Attributes:
        name: of the model; the directory's name if the manifest can't be read.
        path: the directory.
        precision: of the weights; empty if unknown.
        size_bytes: on disk.
        origin: source of the weights; empty if unknown.
        error: why it can't be used, or None.
    """

    name: str
    path: Path
    precision: str
    size_bytes: int
    origin: str
    error: str | None = None


class BundleCache:
    """The cache of bundles, one directory each in ``directory`` (by default the user's)."""

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory or bundles_dir()

    def bundles(self) -> list[CachedBundle]:
        """All bundles, sorted by directory name; a damaged one carries its error.

        Raises:
            StorageError: the cache can't be read.
        """
        try:
            paths = sorted(
                path for path in self.directory.iterdir() if path.is_dir() and not path.name.startswith(".")
            )
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StorageError(f"Can't read the model cache {self.directory}: {error.strerror}.") from error
        return [_entry(path) for path in paths]

    @staticmethod
    def open(path: Path) -> Bundle:
        """Open a bundle of the cache; one without a manifest is damaged, not absent."""
        try:
            return Bundle.open(path)
        except ModelNotFoundError:
            raise BundleCorruptError(
                f"The bundle {path} is damaged: {MANIFEST} is missing.",
                hint="Remove it with `nlpsuite models rm` (or delete the directory) and run again to rebuild it.",
            ) from None

    def find(self, name: str, precision: str | None = None) -> Path:
        """The bundle with that directory name or, failing that, of that model.

        Args:
            precision: which one, if the model has several; by default ``DEFAULT_PRECISION``.

        Raises:
            ModelNotFoundError: there is none.
            OptionError: several bundles match.
            BundleCorruptError: it is damaged.
        """
        found = self._named(name)
        if len(found) > 1:
            wanted = precision or DEFAULT_PRECISION
            found = [bundle for bundle in found if bundle.precision == wanted] or found
        path = _only(name, found).path
        self.open(path)
        return path

    def remove(self, name: str) -> Path:
        """Remove a bundle by its directory name or its model's name; returns the path that was removed.

        Raises:
            ModelNotFoundError: no such bundle.
            OptionError: several bundles have that name; the message lists them.
            StorageError: it can't be removed.
        """
        model = sources.DEFAULT_MODEL.name if name.casefold() == "default" else name
        path = _only(name, self._named(model)).path
        # Renamed first, so that no other process ever sees half a bundle.
        doomed = path.with_name(f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}")
        try:
            os.rename(path, doomed)
            if doomed.is_symlink():
                doomed.unlink()
            else:
                shutil.rmtree(doomed)
        except OSError as error:
            raise StorageError(
                f"Can't remove {path}: {error.strerror or error}.", hint="Check the permissions."
            ) from error
        return path

    def _named(self, name: str) -> list[CachedBundle]:
        bundles = self.bundles()
        exact = [bundle for bundle in bundles if bundle.path.name == name]
        found = exact or [bundle for bundle in bundles if bundle.name.casefold() == name.casefold()]
        if not found:
            from nlpsuite.models.catalog import catalog

            known = {n.casefold(): n for bundle in bundles for n in (bundle.path.name, bundle.name)}
            known |= {model.name.casefold(): model.name for model in catalog()}
            close = [known[match] for match in difflib.get_close_matches(name.casefold(), known, n=3)]
            hint = f"Did you mean {' or '.join(close)}? {MODEL_FORMS}" if close else MODEL_FORMS
            raise ModelNotFoundError(f"There is no model {name!r}.", hint=hint)
        return found


def _only(name: str, found: list[CachedBundle]) -> CachedBundle:
    if len(found) > 1:
        listed = ", ".join(bundle.path.name for bundle in found)
        raise OptionError(f"{name!r} names {len(found)} bundles: {listed}.", hint="Give one of these names.")
    return found[0]


def _entry(path: Path) -> CachedBundle:
    try:
        bundle = BundleCache.open(path)
    except NlpsuiteError as error:
        match = re.search(r"-(\w+)-[0-9a-f]{8}$", path.name)
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        return CachedBundle(path.name, path, match[1] if match else "", size, "", error.message)
    precision = "+".join(sorted({graph.precision for graph in bundle.graphs}))
    return CachedBundle(bundle.name, path, precision, bundle.size_bytes, str(bundle.origin.get("source", "")))
