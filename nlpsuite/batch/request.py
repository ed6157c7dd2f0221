"""What a job is asked to do."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypedDict, TypeVar, Unpack, get_type_hints

from nlpsuite.batch.job import job_directory
from nlpsuite.errors import OptionError
from nlpsuite.options import by_field, make_options

if TYPE_CHECKING:
    from nlpsuite.tasks.base import Task

__all__ = ["AnswerOptions", "JobOptions", "ScoreRequest", "takes"]

P = ParamSpec("P")
R = TypeVar("R")


class AnswerOptions(TypedDict, total=False):
    """Keywords of ``score`` and ``evaluate``: which rows are read, and what answers them.

    Keys:
        dataset: a standard data set in place of ``data``, such as ``sst2:dev``.
        format: file type of the data, where its name doesn't say.
        encoding, delimiter, escape: of the data, where it is text; see ``open_table``.
        text_columns: columns of the text, joined; by default the task's usual one.
        option_columns: option of the task to the column that holds its value.
        limit: read only the first rows, this many.
        options: of the task.
        model, adapter, precision, device, max_parts, prompt_file, shots, max_shots: as in ``nlpsuite.load``.
        workers: number of processes; 0 fits it to the machine and the model.
        threads: CPU threads per process; 0 fits them likewise.
        overwrite: start over, whatever exists.
    """

    dataset: str | None
    format: str
    encoding: str
    delimiter: str
    escape: str
    text_columns: Sequence[str]
    option_columns: Mapping[str, str] | None
    limit: int | None
    options: Mapping[str, Any] | None
    model: str | None
    adapter: str | None
    precision: str | None
    device: str
    max_parts: int
    prompt_file: str | None
    shots: str | None
    max_shots: int | None
    workers: int
    threads: int | None
    overwrite: bool


class JobOptions(AnswerOptions, total=False):
    """Keywords of ``score``: those of ``AnswerOptions``, and how the job is run.

    Keys:
        id_column: column with a unique id; without it a row's id is its index.
        prefix: of the names of the added columns.
        guard: as in ``nlpsuite.load``.
        max_errors: stop when more rows fail: a number, or a share such as ``5%``; empty for no limit.
        chunk_rows: rows that are scored and committed together; 0 for 256 where the task chooses among labels
            and 32 where it generates.
        engine: what runs the chunks, see ``nlpsuite.batch.engine``.
        address: of the engine's cluster.
    """

    id_column: str | None
    prefix: str
    guard: str | None
    max_errors: str | int
    chunk_rows: int
    engine: str
    address: str


@dataclass(frozen=True)
class ScoreRequest:
    """The arguments of ``nlpsuite.batch.score.score`` with their defaults.

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
    def of(
        cls,
        task: str,
        data: str | os.PathLike[str] | None,
        output: str | os.PathLike[str] | None,
        **options: Unpack[JobOptions],
    ) -> ScoreRequest:
        """A request from arguments as users give them: None is the default, paths may be texts."""
        given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
        for name, kind in (("text_columns", tuple), ("max_errors", str)):
            if name in given:
                given[name] = kind(given[name])
        place = Path(output).expanduser() if output else None
        return cls(task, os.fspath(data or ""), place, **given)

    def checked(self, task: Task[Any]) -> ScoreRequest:
        """The request with its options named by field. Raises OptionError for one that the task doesn't take."""
        make_options(task.options, self.options)
        return dataclasses.replace(
            self,
            options=by_field(task.options, self.options),
            option_columns=by_field(task.options, self.option_columns),
        )

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


def takes(options: type) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Give a function that ends in ``**options`` the signature it would have with each of them written out.

    So ``help`` and notebooks show every keyword with its default, and one that doesn't exist is refused as Python
    refuses it.

    Args:
        options: ``AnswerOptions`` or ``JobOptions``.
    """
    keyword_only = functools.partial(inspect.Parameter, kind=inspect.Parameter.KEYWORD_ONLY)
    named = [
        keyword_only(name, default=getattr(ScoreRequest, name, None), annotation=annotation)
        for name, annotation in get_type_hints(options).items()
    ]

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        own = inspect.signature(function)
        *explicit, _ = own.parameters.values()
        signature = own.replace(parameters=[*explicit, *named])

        @functools.wraps(function)
        def checked(*args: P.args, **given: P.kwargs) -> R:
            for name in given.keys() - signature.parameters.keys():
                close = difflib.get_close_matches(name, signature.parameters, n=1)
                suggestion = f". Did you mean {close[0]!r}?" if close else ""
                raise TypeError(
                    f"{function.__name__}() got an unexpected keyword argument {name!r}{suggestion}"
                )
            return function(*args, **given)

        vars(checked)["__signature__"] = signature
        return checked

    return decorate
