"""What a job is asked to do."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nlpsuite.batch.job import job_directory
from nlpsuite.errors import OptionError

__all__ = ["ScoreRequest"]


@dataclass(frozen=True)
class ScoreRequest:
    """The arguments of ``nlpsuite.batch.score.score``.

    Attributes:
        output: None for a job without a file of results.
        job: the job's directory; by default beside the output.
    """

    task: str
    data: str = ""
    output: Path | None = None
    dataset: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    option_columns: Mapping[str, str] = field(default_factory=dict)
    format: str = ""
    encoding: str = "utf-8"
    delimiter: str = ""
    escape: str = ""
    text_columns: tuple[str, ...] = ()
    id_column: str = ""
    limit: int | None = None
    prefix: str = ""
    overwrite: bool = False
    max_errors: str = ""
    chunk_rows: int = 0
    model: str | None = None
    adapter: str | None = None
    precision: str | None = None
    device: str = "auto"
    max_parts: int = 64
    prompt_file: str | None = None
    shots: str | None = None
    max_shots: int | None = None
    guard: str | None = None
    engine: str = "local"
    workers: int = 0
    threads: int = 0
    address: str = ""
    job: Path | None = None

    @classmethod
    def of(cls, **arguments: Any) -> ScoreRequest:
        """A request from arguments as users give them: None is the default, paths may be texts."""
        given = {name: value for name, value in arguments.items() if value is not None}
        output = given.pop("output", "")
        for name, kind in (("data", os.fspath), ("text_columns", tuple), ("max_errors", str)):
            if name in given:
                given[name] = kind(given[name])
        return cls(**given, output=Path(output).expanduser() if output else None)

    @property
    def reading(self) -> dict[str, Any]:
        """How the data are read: keywords of ``open_table``."""
        return {name: getattr(self, name) for name in ("format", "encoding", "delimiter", "escape")}

    @property
    def directory(self) -> Path:
        """The job's directory."""
        if self.job is None and self.output is None:
            raise OptionError("A job needs an output or a directory.")
        return self.job or job_directory(self.output)  # type: ignore[arg-type]

    def values(self) -> dict[str, Any]:
        """The request as JSON values, with absolute paths: what resuming a job needs."""
        values = dataclasses.asdict(self)
        del values["job"]
        for name in ("prompt_file", "shots", "output"):
            if values[name] is not None:
                values[name] = os.path.abspath(values[name])
        values["overwrite"] = False  # a resumed job doesn't start over
        values["text_columns"] = list(self.text_columns)
        return values
