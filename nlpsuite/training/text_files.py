"""Finding the text files that a source names, and reading them in blocks."""

from __future__ import annotations

import codecs
import contextlib
import glob
import gzip
import io
import os
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from nlpsuite.errors import InputInvalidError, InputNotFoundError

__all__ = ["SUFFIXES", "file_name", "find_files", "read_blocks", "read_lines", "suffix_of"]

SUFFIXES = (".txt", ".text", ".md", ".jsonl", ".ndjson")
"""The files that are read in a folder, also with ``.gz`` behind."""

_BLOCK_BYTES = 1 << 20
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def file_name(file: str) -> str:
    """How messages call a file; ``-`` is standard input."""
    return "standard input" if file == "-" else file


def suffix_of(file: str) -> str:
    """The suffix in lower case, without a ``.gz`` behind it."""
    return Path(file.lower().removesuffix(".gz")).suffix


def find_files(source: str) -> list[str]:
    """The files that a source names: a file, a folder, a pattern or ``-``; sorted.

    Raises:
        InputNotFoundError: there are none, or they can't be read.
    """
    if source == "-":
        return ["-"]
    try:
        if os.path.isdir(source):
            return _files_below(source)
        os.stat(source)
        return [source]
    except FileNotFoundError:
        if glob.has_magic(source):
            if found := sorted(file for file in glob.glob(source, recursive=True) if os.path.isfile(file)):
                return found
            raise InputNotFoundError(f"No file fits {source}.", hint="Check the pattern.") from None
        raise InputNotFoundError(f"There is no file or folder {source}.", hint="Check the name.") from None
    except (OSError, ValueError) as error:
        raise InputNotFoundError(
            f"Can't read {source}: {getattr(error, 'strerror', None) or error}."
        ) from None


def _files_below(folder: str) -> list[str]:
    def fail(error: OSError) -> None:
        raise error

    found: list[str] = []
    others: Counter[str] = Counter()
    for directory, subdirectories, names in os.walk(folder, onerror=fail):
        subdirectories[:] = [name for name in subdirectories if not name.startswith(".")]
        for name in names:
            if name.startswith("."):
                continue
            if suffix_of(name) in SUFFIXES:
                found.append(os.path.join(directory, name))
            else:
                others[Path(name).suffix or name] += 1
    if not found:
        hint = f"A folder's {', '.join(SUFFIXES)} files are read."
        if others:
            suffix, count = others.most_common(1)[0]
            hint += f" For its {count:,} {suffix} files, name them: '{folder.rstrip('/')}/**/*{suffix}'."
        raise InputNotFoundError(f"The folder {folder} has no text files.", hint=hint)
    return sorted(found)


@contextlib.contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
    elif file.lower().endswith(".gz"):
        with gzip.open(file, "rb") as unpacked:
            yield cast(BinaryIO, unpacked)
    else:
        with open(file, "rb") as plain:
            yield plain


def read_blocks(file: str, encoding: str) -> Iterator[str]:
    """The text of a file in blocks of any length, with every line end as a newline.

    Raises:
        InputNotFoundError: it can't be read.
        InputInvalidError: binary, wrongly encoded or wrongly packed.
    """
    name = file_name(file)
    decoder: io.IncrementalNewlineDecoder | None = None
    offset = 0
    try:
        with _opened(file) as stream:
            while True:
                block = stream.read(_BLOCK_BYTES)
                if decoder is None:
                    for mark, marked in _BYTE_ORDER_MARKS.items():
                        if block.startswith(mark):
                            encoding = marked
                    decoder = io.IncrementalNewlineDecoder(
                        codecs.getincrementaldecoder(encoding)(), translate=True
                    )
                    wide = encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32"))
                if not wide and (at := block.find(0)) >= 0:
                    raise InputInvalidError(
                        f"{name} is not a text file: it has a NUL byte at offset {offset + at:,}.",
                        hint="Convert it to plain text first (pdftotext, pandoc), or name its encoding: "
                        "--encoding utf-16-le.",
                    )
                offset += len(block)
                yield decoder.decode(block, final=not block)
                if not block:
                    return
    except UnicodeDecodeError as error:
        # The decoder looked at what was left over from before as well.
        at = offset - len(error.object) + error.start
        raise InputInvalidError(
            f"{name} is not valid {encoding}: byte 0x{error.object[error.start]:02x} at offset {at:,}.",
            hint="Name its encoding, for example --encoding latin-1 or --encoding cp1252.",
        ) from None
    except (ValueError, LookupError, TypeError) as error:  # codecs that decode no text
        raise InputInvalidError(
            f"{name} can't be read as {encoding}: {error}.", hint="Examples: utf-8, latin-1, cp1252, utf-16."
        ) from None
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise InputInvalidError(
            f"{name} is damaged or no gzip file.", hint="Unpack it (gunzip), or fetch it again."
        ) from None
    except OSError as error:
        raise InputNotFoundError(f"Can't read {name}: {error.strerror or error}.") from None


def read_lines(file: str, encoding: str) -> Iterator[str]:
    """The lines of a file, without their ends. Raises what ``read_blocks`` does.

    Only a newline ends a line: the strings of JSON may hold other separators.
    """
    parts: list[str] = []
    for block in read_blocks(file, encoding):
        first, *others = block.split("\n")
        parts.append(first)
        for line in others:
            yield "".join(parts)
            parts = [line]
    yield "".join(parts)
