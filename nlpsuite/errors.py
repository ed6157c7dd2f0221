"""Every error a user can meet, with its stable code and its exit status.

An error says what happened (``message``) and what to do next (``hint``). The command line prints both
on stderr and exits with ``exit_code``; with ``--json`` it also prints an object with the error's
``code`` on stdout. Programs should rely on codes, never on messages.

0  success
1  a bug in nlpsuite
2  wrong usage: an unknown name, an option out of range, a refused job
3  some rows failed, or an output was blocked
4  the input can't be used
5  the model or the device can't be used
6  a plugin failed, or an extra is missing
7  an output can't be written, or a job or a training run broke off

130 and 143 are the shell's own: interrupted and terminated. A traceback appears only with ``--debug``.
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "AdapterMismatchError",
    "BundleCorruptError",
    "BundleUnsuitableError",
    "ClientMismatchError",
    "DeviceUnavailableError",
    "InputInvalidError",
    "InputNotFoundError",
    "InputTooLongError",
    "JobRefusedError",
    "JobStorageError",
    "LicenseNotAcceptedError",
    "MissingExtraError",
    "ModelNotFoundError",
    "ModelNotServedError",
    "ModelUnavailableError",
    "NlpsuiteError",
    "OptionError",
    "PluginError",
    "PluginInstallError",
    "RequestError",
    "RequestTimeoutError",
    "ServerBusyError",
    "ServerUnavailableError",
    "StdoutError",
    "StorageError",
    "TaskNotExportableError",
    "TooManyErrorsError",
    "TrainingError",
    "UnknownTaskError",
    "UnsupportedModelError",
    "UsageError",
    "VerificationError",
    "WorkerLostError",
]


class NlpsuiteError(Exception):
    """Base of all errors that the user can fix.

    Args:
        message: what happened, with the names and numbers involved.
        hint: what to do next; empty only where the message already says it.

    Attributes:
        code: stable name of the class of error, for programs.
        exit_code: exit status of the command line.
    """

    code = "internal"
    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> Any:  # workers send errors to the parent process
        return _rebuild, (type(self), self.message, self.hint)

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


def _rebuild(cls: type[NlpsuiteError], message: str, hint: str) -> NlpsuiteError:
    return cls(message, hint=hint)


# 2: wrong usage


class OptionError(NlpsuiteError):
    """An option is unknown or has an invalid value."""

    code = "option-invalid"
    exit_code = 2


class UsageError(NlpsuiteError):
    """The command line can't be parsed: an unknown command or flag, or a missing argument."""

    code = "usage"
    exit_code = 2


class UnknownTaskError(NlpsuiteError):
    """No installed plugin provides a task, metric or other kind of that name."""

    code = "unknown-name"
    exit_code = 2


class TaskNotExportableError(NlpsuiteError):
    """A task, with these options, does more than a task file can describe."""

    code = "task-not-exportable"
    exit_code = 2


class JobRefusedError(NlpsuiteError):
    """A job can't start or resume as requested: its fingerprint differs, another process runs it, or its
    output exists."""

    code = "job-refused"
    exit_code = 2


# 3: some rows failed (or an output was blocked, which is not an error)


class TooManyErrorsError(NlpsuiteError):
    """More rows failed than ``--max-errors`` allows. Finished rows are saved."""

    code = "too-many-errors"
    exit_code = 3


# 4: the input can't be used


class InputInvalidError(NlpsuiteError):
    """The input can be read but not used: empty, binary or wrongly encoded."""

    code = "input-invalid"
    exit_code = 4


class InputNotFoundError(NlpsuiteError):
    """The input doesn't exist or can't be opened."""

    code = "input-not-found"
    exit_code = 4


class InputTooLongError(NlpsuiteError):
    """The input is longer than the task accepts; the message states both lengths."""

    code = "input-too-long"
    exit_code = 4


# 5: the model or the device can't be used


class ModelNotFoundError(NlpsuiteError):
    """Nothing has the name given with ``--model``."""

    code = "model-not-found"
    exit_code = 5


class ModelUnavailableError(NlpsuiteError):
    """The model exists but can't be fetched now: no network, wrong checksum, no pip."""

    code = "model-unavailable"
    exit_code = 5


class LicenseNotAcceptedError(NlpsuiteError):
    """The model's terms of use have to be accepted before it is downloaded."""

    code = "license-not-accepted"
    exit_code = 5


class UnsupportedModelError(NlpsuiteError):
    """The checkpoint has an unsupported architecture, tensor type or tokenizer."""

    code = "model-unsupported"
    exit_code = 5


class BundleCorruptError(NlpsuiteError):
    """A bundle is incomplete or doesn't match its manifest."""

    code = "model-damaged"
    exit_code = 5


class BundleUnsuitableError(NlpsuiteError):
    """The bundle was built for another kind of CPU."""

    code = "model-unsuitable"
    exit_code = 5


class AdapterMismatchError(NlpsuiteError):
    """The adapter was trained for another base or another task."""

    code = "adapter-mismatch"
    exit_code = 5


class VerificationError(NlpsuiteError):
    """The exported graph doesn't compute what the model computes; nothing was written."""

    code = "export-mismatch"
    exit_code = 5


class ClientMismatchError(NlpsuiteError):
    """Another program computes something else with the bundle, which was written."""

    code = "client-mismatch"
    exit_code = 5


class DeviceUnavailableError(NlpsuiteError):
    """The requested device can't be used; the message gives the provider's reason."""

    code = "device-unavailable"
    exit_code = 5


# 6: a plugin failed, or an extra is missing


class PluginError(NlpsuiteError):
    """A plugin failed to load or broke its contract; the message names the plugin."""

    code = "plugin-failed"
    exit_code = 6


class PluginInstallError(NlpsuiteError):
    """pip or uv is missing, or could not install or uninstall a plugin."""

    code = "plugin-install-failed"
    exit_code = 6


class MissingExtraError(NlpsuiteError):
    """An optional dependency is needed but not installed."""

    code = "extra-missing"
    exit_code = 6


# 7: an output can't be written, or a job or a training run broke off


class StorageError(NlpsuiteError):
    """The output or the cache can't be written: permissions, disk full."""

    code = "storage-failed"
    exit_code = 7


class StdoutError(StorageError):
    """Standard output can't be written: disk full, or a broken redirection."""

    code = "stdout-failed"


class JobStorageError(StorageError):
    """A file of a running job can't be read or written. Finished rows are saved; rerun the same command to
    resume."""

    code = "job-storage-failed"


class ServerBusyError(NlpsuiteError):
    """Too many requests are running and waiting."""

    code = "server-busy"
    exit_code = 5


class ServerUnavailableError(NlpsuiteError):
    """The server is shutting down, or the models in use leave no room for another."""

    code = "server-unavailable"
    exit_code = 5


class ModelNotServedError(NlpsuiteError):
    """A request names a model that the server doesn't have."""

    code = "model-not-served"
    exit_code = 2


class RequestTimeoutError(NlpsuiteError):
    """A request to the server took longer than it allows."""

    code = "request-timeout"
    exit_code = 5


class RequestError(NlpsuiteError):
    """A request that the server can't or won't answer.

    Args:
        param: the field at fault.
        status: of HTTP, which decides the code.
    """

    code = "bad-request"
    exit_code = 2
    codes: ClassVar[dict[int, str]] = {
        400: "bad-request",
        401: "token-missing",
        403: "request-refused",
        404: "not-found",
        405: "method-not-allowed",
        408: "body-timeout",
        409: "not-ready",
        413: "body-too-large",
        429: "server-busy",
        499: "client-gone",
    }

    def __init__(self, message: str, *, hint: str = "", param: str | None = None, status: int = 400) -> None:
        super().__init__(message, hint=hint)
        self.param, self.status = param, status
        self.code = self.codes.get(status, "bad-request")


class TrainingError(NlpsuiteError):
    """Training broke off: the loss is not finite, or memory ran out. The last checkpoint is saved."""

    code = "training-failed"
    exit_code = 7


class WorkerLostError(NlpsuiteError):
    """A job's workers died repeatedly on the same chunk, most likely for lack of memory."""

    code = "worker-lost"
    exit_code = 7
