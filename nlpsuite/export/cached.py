"""The bundles that are in the cache: list them, find one by name, remove one."""

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
from nlpsuite.models import sources
from nlpsuite.paths import bundles_dir
from nlpsuite.runtime.bundle import MANIFEST, Bundle

__all__ = ["FORMS", "TEMPORARY", "CachedBundle", "cached", "named", "only", "open_cached", "remove"]

TEMPORARY = ".incomplete-"  # followed by the process id: what files.remove_stale looks for
FORMS = (
    "Give 'default', a bundle directory, a .gguf file, a Hugging Face model directory, hf:owner/name, "
    "or a name that `nlpsuite models` lists."
)


@dataclass(frozen=True)
class CachedBundle:
    """A bundle in the cache.

    Attributes:
        name: of the model; the directory's name if the manifest can't be read.
        path: the directory.
        precision: of the weights; empty if unknown.
        size_bytes: on disk.
        origin: where the weights came from; empty if unknown.
        error: what is wrong with it, or None.
    """

    name: str
    path: Path
    precision: str
    size_bytes: int
    origin: str
    error: str | None = None


def open_cached(path: Path) -> Bundle:
    """A bundle of the cache; one without a manifest is damaged, not absent."""
    try:
        return Bundle.open(path)
    except ModelNotFoundError:
        raise BundleCorruptError(
            f"The bundle {path} is damaged: {MANIFEST} is missing.",
            hint="Remove it with `nlpsuite models rm` (or delete the directory) and run again to rebuild it.",
        ) from None


def named(name: str) -> list[CachedBundle]:
    """The cached bundles of that directory or, failing that, of that model; an error if there is none."""
    everything = cached()
    exact = [bundle for bundle in everything if bundle.path.name == name]
    found = exact or [bundle for bundle in everything if bundle.name.casefold() == name.casefold()]
    if not found:
        known = {n.casefold(): n for bundle in everything for n in (bundle.path.name, bundle.name)}
        known.setdefault(sources.DEFAULT_MODEL.name.casefold(), sources.DEFAULT_MODEL.name)
        close = [known[match] for match in difflib.get_close_matches(name.casefold(), known, n=3)]
        hint = f"Did you mean {' or '.join(close)}? {FORMS}" if close else FORMS
        raise ModelNotFoundError(f"There is no model {name!r}.", hint=hint)
    return found


def only(name: str, found: list[CachedBundle]) -> CachedBundle:
    if len(found) > 1:
        listed = ", ".join(bundle.path.name for bundle in found)
        raise OptionError(f"{name!r} names {len(found)} bundles: {listed}.", hint="Give one of these names.")
    return found[0]


def cached() -> list[CachedBundle]:
    """The bundles in the cache, sorted by directory name; damaged ones carry their error.

    Raises:
        StorageError: the cache can't be read.
    """
    try:
        directories = sorted(
            path for path in bundles_dir().iterdir() if path.is_dir() and not path.name.startswith(".")
        )
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StorageError(f"Can't read the model cache {bundles_dir()}: {error.strerror}.") from error
    return [_entry(path) for path in directories]


def _entry(path: Path) -> CachedBundle:
    try:
        bundle = open_cached(path)
    except NlpsuiteError as error:
        match = re.search(r"-(\w+)-[0-9a-f]{8}$", path.name)
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        return CachedBundle(path.name, path, match[1] if match else "", size, "", error.message)
    precision = "+".join(sorted({graph.precision for graph in bundle.graphs}))
    return CachedBundle(bundle.name, path, precision, bundle.size_bytes, str(bundle.origin.get("source", "")))


def remove(name: str) -> list[Path]:
    """Remove a bundle from the cache, by its directory's name or its model's; gives what was removed.

    Raises:
        ModelNotFoundError: no such bundle.
        OptionError: several bundles have that name; the message lists them.
        StorageError: it can't be removed.
    """
    alias = sources.DEFAULT_MODEL.name if name.casefold() == "default" else name
    path = only(name, named(alias)).path
    # Renamed first: at no moment is there a bundle with half its files.
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
    return [path]
