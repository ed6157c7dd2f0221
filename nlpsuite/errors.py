"""Every error a user can meet, with its exit code.

An error says what happened (``message``) and what to do next (``hint``). The CLI prints
both on stderr and exits with ``exit_code``; a traceback appears only with ``--debug``.
The codes 64 and up follow BSD ``sysexits.h`` where it has a fitting one.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AdapterMismatchError",
    "BundleCorruptError",
    "DeviceUnavailableError",
    "InputInvalidError",
    "InputNotFoundError",
    "InputTooLongError",
    "JobRefusedError",
    "JobStorageError",
    "MissingExtraError",
    "ModelNotFoundError",
    "ModelUnavailableError",
    "NlpsuiteError",
    "OptionError",
    "PluginError",
    "PluginInstallError",
    "StorageError",
    "TooManyErrorsError",
    "TrainingError",
    "UnknownTaskError",
    "UnsupportedModelError",
    "VerificationError",
    "WorkerLostError",
]


class NlpsuiteError(Exception):
    """Base of all errors that are the user's to mend.

    Args:
        message: what happened, with the names and numbers involved.
        hint: what to do next; empty only where the message already says it.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> Any:  # it may have to travel from a worker's process to ours
        return _made_again, (type(self), self.message, self.hint)

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


def _made_again(cls: type[NlpsuiteError], message: str, hint: str) -> NlpsuiteError:
    return cls(message, hint=hint)


class OptionError(NlpsuiteError):
    """An option has a value it can't take."""

    exit_code = 2


class UnknownTaskError(NlpsuiteError):
    """No installed plugin offers a task of that name; or a metric, or what else plugins are asked for."""

    exit_code = 64


class InputInvalidError(NlpsuiteError):
    """The input can be read but not used: empty, binary, wrongly encoded."""

    exit_code = 65


class InputNotFoundError(NlpsuiteError):
    """The input does not exist or can't be opened."""

    exit_code = 66


class InputTooLongError(NlpsuiteError):
    """The input is longer than the task takes; the message states both lengths."""

    exit_code = 67


class ModelNotFoundError(NlpsuiteError):
    """The name given with ``--model`` names nothing."""

    exit_code = 68


class ModelUnavailableError(NlpsuiteError):
    """The model exists but can't be had now: no network, wrong checksum, no pip."""

    exit_code = 69


class PluginError(NlpsuiteError):
    """A plugin failed to load or broke its contract; the message names the blame."""

    exit_code = 70


class DeviceUnavailableError(NlpsuiteError):
    """The device asked for can't be used; the message carries the provider's reason."""

    exit_code = 71


class BundleCorruptError(NlpsuiteError):
    """A bundle is incomplete or differs from its manifest."""

    exit_code = 72


class StorageError(NlpsuiteError):
    """The output or the cache can't be written: permissions, disk full."""

    exit_code = 73


class PluginInstallError(NlpsuiteError):
    """pip or uv could not install or uninstall a plugin, or neither is there."""

    exit_code = 80


class MissingExtraError(NlpsuiteError):
    """An optional dependency is needed that is not installed."""

    exit_code = 75


class UnsupportedModelError(NlpsuiteError):
    """The checkpoint's architecture, tensor type or tokenizer is not one we can run."""

    exit_code = 76


class TrainingError(NlpsuiteError):
    """Training can't go on: the loss is not a number, or memory ran out. The last checkpoint is kept."""

    exit_code = 77


class AdapterMismatchError(NlpsuiteError):
    """The adapter was trained for another base or another task."""

    exit_code = 78


class VerificationError(NlpsuiteError):
    """The exported graph does not compute what the model computes; nothing was written."""

    exit_code = 79


class JobRefusedError(NlpsuiteError):
    """A job can't be begun or gone on with as asked: another fingerprint, a second process, an output that
    exists."""

    exit_code = 2


class JobStorageError(StorageError):
    """A file of a job can't be read or written while it runs. What was scored is kept; the job goes on with
    the same command."""

    exit_code = 74


class TooManyErrorsError(InputInvalidError):
    """More rows failed than ``--max-errors`` allows. What was scored is kept."""


class WorkerLostError(NlpsuiteError):
    """The workers of a job died again and again on the same chunk, most likely for want of memory."""

    exit_code = 81
