"""Python source files of the running interpreter and of wheels, with their licenses."""

from __future__ import annotations

import ast
import hashlib
import platform
import sysconfig
import warnings
import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath
from typing import NamedTuple

__all__ = ["Package", "Source", "read_sources"]

# As packages write them, to SPDX identifiers. A package with any other is refused.
LICENSES = {
    "MIT": "MIT",
    "MIT License": "MIT",
    "License :: OSI Approved :: MIT License": "MIT",
    "The MIT License (MIT)": "MIT",
    "BSD": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "License :: OSI Approved :: BSD License": "BSD-3-Clause",
    "BSD-2-Clause": "BSD-2-Clause",
    "BSD-3-Clause": "BSD-3-Clause",
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache-2.0": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "Apache-2.0 OR BSD-2-Clause": "Apache-2.0 OR BSD-2-Clause",
    "Apache-2.0 OR BSD-3-Clause": "Apache-2.0 OR BSD-3-Clause",
    "MIT OR Apache-2.0": "MIT OR Apache-2.0",
    "PSF-2.0": "PSF-2.0",
}
# Folders of tests, of other people's code, and of tables.
_SKIPPED = frozenset(
    "test tests testing _vendor vendor vendored site-packages idlelib lib2to3 turtledemo encodings ensurepip "
    "pydoc_data locale-data lib-dynload".split()
)
_MOST_BYTES = 300_000
_LONGEST_LINE = 160


class Package(NamedTuple):
    """Where sources come from. ``sha256``: of the wheel; empty for the interpreter."""

    name: str
    version: str
    license: str
    sha256: str
    files: int


class Source(NamedTuple):
    """A file that can be parsed. ``name``: package, version and path."""

    package: str
    name: str
    text: str


def read_sources(wheels: Path) -> tuple[list[Package], list[Source]]:
    """The sources of the standard library and of every wheel in a directory.

    Raises:
        SystemExit: there is no wheel, or one's license is not on the list.
    """
    paths = sorted(wheels.glob("*.whl"))
    if not paths:
        raise SystemExit(f"There is no wheel in {wheels}; see packages.txt.")
    packages, sources = [], []
    for package, files in [_interpreter(), *map(_wheel, paths)]:
        good = [
            Source(package.name, f"{package.name}-{package.version}/{name}", text)
            for name, data in files
            if (text := _python(name, data)) is not None
        ]
        packages.append(package._replace(files=len(good)))
        sources += good
    return packages, sources


def _interpreter() -> tuple[Package, Iterator[tuple[str, bytes]]]:
    root = Path(sysconfig.get_paths()["stdlib"])
    files = ((str(path.relative_to(root)), path.read_bytes()) for path in sorted(root.rglob("*.py")))
    return Package("python", platform.python_version(), "PSF-2.0", "", 0), files


def _wheel(path: Path) -> tuple[Package, Iterator[tuple[str, bytes]]]:
    archive = zipfile.ZipFile(path)
    [metadata] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    headers = HeaderParser().parsestr(archive.read(metadata).decode("utf-8"))
    stated = [headers["License-Expression"], headers["License"], *(headers.get_all("Classifier") or [])]
    license = next((LICENSES[text] for text in stated if text in LICENSES), None)
    if license is None:
        raise SystemExit(
            f"{path.name}: its license isn't on the list: {stated[:2]}. Remove it, or add it if it's free."
        )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    names = sorted(name for name in archive.namelist() if name.endswith(".py"))
    return Package(headers["Name"], headers["Version"], license, digest, 0), (
        (name, archive.read(name)) for name in names
    )


def _python(name: str, data: bytes) -> str | None:
    """The text of a file that people wrote in today's Python; None for any other."""
    if _SKIPPED & set(PurePosixPath(name).parts) or len(data) > _MOST_BYTES or b"\t" in data:
        return None
    try:
        text = data.decode("utf-8").replace("\r\n", "\n")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old escapes
            ast.parse(text)
    except (UnicodeDecodeError, SyntaxError, ValueError):
        return None
    return None if any(len(line) > _LONGEST_LINE for line in text.split("\n")) else text
