"""Every error a user can meet, with its stable code and its exit status.

An error says what happened (``message``) and what to do next (``hint``). The command line prints both
on stderr, or with ``--json`` an object with the error's ``code``, and exits with ``exit_code``:

0  success
1  a bug in nlpsuite
2  wrong usage: an unknown name, an option out of range, a refused job
3  some rows failed, or an output was blocked
4  the input can't be used
5  the model or the device can't be used
6  a plugin failed, or an extra is missing
7  a file can't be written, or a job or a training run broke off

130 and 143 are the shell's own: interrupted and terminated. A traceback appears only with ``--debug``.
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

    code = "internal"
    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> Any:  # it may have to travel from a worker's process to ours
        return _rebuild, (type(self), self.message, self.hint)

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


def _rebuild(cls: type[NlpsuiteError], message: str, hint: str) -> NlpsuiteError:
    return cls(message, hint=hint)


class OptionError(NlpsuiteError):
    """An option has a value it can't take."""

    code = "option-invalid"
    exit_code = 2


class UnknownTaskError(NlpsuiteError):
    """No installed plugin offers a task of that name; or a metric, or what else plugins are asked for."""

    code = "unknown-name"
    exit_code = 2


class InputInvalidError(NlpsuiteError):
    """The input can be read but not used: empty, binary, wrongly encoded."""

    code = "input-invalid"
    exit_code = 4


class InputNotFoundError(NlpsuiteError):
    """The input does not exist or can't be opened."""

    code = "input-not-found"
    exit_code = 4


class InputTooLongError(NlpsuiteError):
    """The input is longer than the task takes; the message states both lengths."""

    code = "input-too-long"
    exit_code = 4


class ModelNotFoundError(NlpsuiteError):
    """The name given with ``--model`` names nothing."""

    code = "model-not-found"
    exit_code = 5


class ModelUnavailableError(NlpsuiteError):
    """The model exists but can't be had now: no network, wrong checksum, no pip."""

    code = "model-unavailable"
    exit_code = 5


class PluginError(NlpsuiteError):
    """A plugin failed to load or broke its contract; the message names the plugin."""

    code = "plugin-failed"
    exit_code = 6


class DeviceUnavailableError(NlpsuiteError):
    """The device asked for can't be used; the message carries the provider's reason."""

    code = "device-unavailable"
    exit_code = 5


class BundleCorruptError(NlpsuiteError):
    """A bundle is incomplete or differs from its manifest."""

    code = "model-damaged"
    exit_code = 5


class StorageError(NlpsuiteError):
    """The output or the cache can't be written: permissions, disk full."""

    code = "storage-failed"
    exit_code = 7


class PluginInstallError(NlpsuiteError):
    """pip or uv could not install or uninstall a plugin, or neither is there."""

    code = "plugin-install-failed"
    exit_code = 6


class MissingExtraError(NlpsuiteError):
    """An optional dependency is needed that is not installed."""

    code = "extra-missing"
    exit_code = 6


class UnsupportedModelError(NlpsuiteError):
    """The checkpoint's architecture, tensor type or tokenizer is not one we can run."""

    code = "model-unsupported"
    exit_code = 5


class TrainingError(NlpsuiteError):
    """Training can't go on: the loss is not a number, or memory ran out. The last checkpoint is kept."""

    code = "training-failed"
    exit_code = 7


class AdapterMismatchError(NlpsuiteError):
    """The adapter was trained for another base or another task."""

    code = "adapter-mismatch"
    exit_code = 5


class VerificationError(NlpsuiteError):
    """The exported graph does not compute what the model computes; nothing was written."""

    code = "export-mismatch"
    exit_code = 5


class JobRefusedError(NlpsuiteError):
    """A job can't be begun or gone on with as asked: another fingerprint, a second process, an output that
    exists."""

    code = "job-refused"
    exit_code = 2


class JobStorageError(StorageError):
    """A file of a job can't be read or written while it runs. What was scored is kept; the job goes on with
    the same command."""

    code = "job-storage-failed"
    exit_code = 7


class TooManyErrorsError(InputInvalidError):
    """More rows failed than ``--max-errors`` allows. What was scored is kept."""

    code = "too-many-errors"
    exit_code = 3


class WorkerLostError(NlpsuiteError):
    """The workers of a job died again and again on the same chunk, most likely for want of memory."""

    code = "worker-lost"
    exit_code = 7
