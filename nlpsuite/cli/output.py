"""The standard streams: whatever they can't do, no result is lost to it without an error."""

from __future__ import annotations

import io
import json
import os
import sys
from typing import Any, TextIO

import click

from nlpsuite.errors import NlpsuiteError, StdoutError

__all__ = ["dump_json", "error_object", "open_streams", "print_json", "show_error"]


def open_streams() -> None:
    """Make all three standard streams usable, at the start of the process.

    A closed stream becomes an empty one. Characters missing from a stream's encoding are escaped. If
    stdout can't be written, StdoutError is raised once; if stderr can't, messages are dropped, since a
    full disk there must not end a job.
    """
    # In this order each takes the lowest free descriptor, which is its own. Otherwise the next file to be
    # opened would take it, and what a library writes to descriptor 2 would end up in that file.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(null, True)
            setattr(sys, name, open(null, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    sys.stdout = _wrapped(sys.stdout, _Stdout)
    sys.stderr = _wrapped(sys.stderr, _Stderr)


class _Stdout(io.FileIO):
    failed = False

    def write(self, data: Any) -> int:
        if self.failed:  # and reported; Python flushes once more at exit
            return memoryview(data).nbytes
        try:
            return super().write(data) or 0
        except OSError as error:
            self.failed = True
            if isinstance(error, BrokenPipeError):  # the reader (head, less) has seen enough
                raise
            raise StdoutError(
                f"Can't write to standard output: {error.strerror or error}.",
                hint="Free some space or correct the redirection.",
            ) from error


class _Stderr(io.FileIO):
    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except OSError:
            return memoryview(data).nbytes


def _wrapped(stream: TextIO, raw: type[io.FileIO]) -> TextIO:
    """The stream on a raw file of another class, with an error handler that escapes."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    buffer: Any = stream.buffer
    if type(getattr(buffer, "raw", buffer)) is not io.FileIO:  # a console of Windows
        stream.reconfigure(errors="backslashreplace")
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(raw(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering or stream.write_through,
    )


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """Print a value as JSON on stdout.

    Args:
        indent: None for one line, as in a stream of objects.
    """
    click.echo(dump_json(value, sys.stdout.encoding, indent=indent))


def dump_json(value: Any, encoding: str | None, *, indent: int | None = None) -> str:
    """A value as JSON; in ASCII if the encoding lacks one of its characters."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent, allow_nan=False)
    return text


def show_error(error: NlpsuiteError) -> None:
    """Print an error and its hint on stderr."""
    coloured = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    label = click.style("Error:", fg="red", bold=True) if coloured else "Error:"
    click.echo(f"{label} {error.message}", err=True)
    if error.hint:
        click.echo(f"  {error.hint}", err=True)


def error_object(error: NlpsuiteError) -> dict[str, Any]:
    """The JSON form of an error."""
    return {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
