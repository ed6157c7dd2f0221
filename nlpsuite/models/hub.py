"""Models from the Hugging Face Hub, or from a mirror of it that HF_ENDPOINT names: ``hf:owner/name``."""

from __future__ import annotations

import errno
import fnmatch
import os
import re
from pathlib import Path
from typing import Any

from nlpsuite.errors import MissingExtraError, ModelNotFoundError, ModelUnavailableError
from nlpsuite.models.spec import ModelSpec, Reporter, Silent
from nlpsuite.paths import bases_dir

__all__ = ["MODEL_FILES", "OUT_OF_SPACE", "fetch_hub", "hub_source", "is_hub_name"]

# What a Hugging Face directory may contribute to a bundle. Pickles run code and are left out.
MODEL_FILES = ("*.safetensors", "*.json", "tokenizer*", "*.jinja", "LICENSE*", "README*")
# A subdirectory holds other formats or intermediate checkpoints.
_IGNORED = ("*/*", "*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")
_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*(@[\w./-]+)?", re.ASCII)

OUT_OF_SPACE = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


def is_hub_name(text: str) -> bool:
    """``owner/name`` or ``owner/name@revision``."""
    return _NAME.fullmatch(text) is not None


def hub_source(rest: str, /, *, offline: bool) -> ModelSpec:
    """Take models from the Hugging Face Hub: --model hf:owner/name or hf:owner/name@revision.

    Downloads go to the cache and stay there, so that an interrupted one resumes.

    Raises:
        ModelNotFoundError: ``rest`` doesn't have that form.
    """
    if not is_hub_name(rest):
        raise ModelNotFoundError(
            f"'hf:{rest}' is not the name of a model.", hint="Write hf:owner/name or hf:owner/name@revision."
        )
    name = rest.partition("@")[0]

    def obtain(directory: Path, reporter: Reporter) -> Path:
        if offline and not (bases_dir() / f"models--{name.replace('/', '--')}").is_dir():
            raise ModelUnavailableError(
                f"The model hf:{rest} is not in the cache, and downloads are disabled "
                "(NLPSUITE_OFFLINE or HF_HUB_OFFLINE).",
                hint="Download it elsewhere and pass its directory: --model DIRECTORY.",
            )
        return fetch_hub(rest, bases_dir(), reporter, offline=offline)

    # Keyed by name, not by commit: asking the hub on every start would cost a round trip.
    return ModelSpec(rest, f"hf:{rest}", f"hf:{rest}", obtain, name)


def fetch_hub(
    owner_name: str, directory: Path, reporter: Reporter | None = None, *, offline: bool = False
) -> Path:
    """Download ``owner/name`` or ``owner/name@revision`` from the Hugging Face Hub into ``directory``.

    Takes safetensors weights, JSON and text files, never pickles. ``HF_ENDPOINT`` and ``HF_TOKEN`` apply.
    Files from an earlier call are reused, incomplete ones resumed; ``offline`` uses them without any
    request. Returns the directory that ``open_checkpoint`` opens.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
        ModelNotFoundError: no such model or revision, or not a valid name.
        ModelUnavailableError: offline, refused, or the connection broke.
        OSError: ``directory`` can't be written.
    """
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ModuleNotFoundError:
        raise MissingExtraError(
            f"Downloading {owner_name!r} from the Hugging Face Hub needs huggingface_hub.",
            hint="Install the extra: pip install 'nlpsuite[train]'.",
        ) from None
    repository, _, revision = owner_name.partition("@")
    reporter = reporter or Silent()
    try:
        if not offline:
            reporter.stage(f"Fetching hf:{owner_name}", _download_bytes(repository, revision))
        return Path(
            huggingface_hub.snapshot_download(
                repository,
                revision=revision or None,
                cache_dir=directory,
                allow_patterns=list(MODEL_FILES),
                ignore_patterns=list(_IGNORED),
                local_files_only=offline,
                endpoint=_endpoint(),
                tqdm_class=_progress_class(reporter),
            )
        )
    except errors.GatedRepoError as error:
        raise ModelUnavailableError(
            f"The model {repository} is gated.",
            hint=f"Accept its terms at https://huggingface.co/{repository}, then set HF_TOKEN to your token.",
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError) as error:
        no_revision = isinstance(error, errors.RevisionNotFoundError)
        what = f"revision {revision!r} of {repository}" if no_revision else f"model {repository!r}"
        raise ModelNotFoundError(
            f"The Hugging Face Hub has no {what}.",
            hint="Check the spelling: hf:owner/name or hf:owner/name@revision. A private model needs HF_TOKEN.",
        ) from error
    except Exception as error:
        # Connection errors depend on the client's HTTP library, which differs by version.
        if isinstance(error, OSError) and error.errno in (*OUT_OF_SPACE, errno.EACCES, errno.EROFS):
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ModelUnavailableError(
            f"The model {repository} could not be downloaded from the Hugging Face Hub: {reason}.",
            hint="Check the network (HF_ENDPOINT names a mirror), or download the model elsewhere and pass "
            "its directory: --model DIRECTORY.",
        ) from error


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


def _download_bytes(repository: str, revision: str) -> int | None:
    """The size of the files that will be downloaded, if the hub states it."""
    from huggingface_hub import HfApi

    def matches(name: str, patterns: tuple[str, ...]) -> bool:
        return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)

    api = HfApi(endpoint=_endpoint())
    files = api.model_info(repository, revision=revision or None, files_metadata=True).siblings or []
    names = {file.rfilename: file.size or 0 for file in files}
    sizes = (
        size for name, size in names.items() if matches(name, MODEL_FILES) and not matches(name, _IGNORED)
    )
    return sum(sizes) or None


def _progress_class(reporter: Reporter) -> Any:
    """The hub client's progress bar, invisible and forwarding the bytes it counts to ``reporter``."""
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    class Forwarding(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            self._counts_bytes = options.get("unit") == "B"
            options.pop("name", None)
            super().__init__(*args, **{**options, "disable": True})

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            if self._counts_bytes:
                reporter.advance(int(self.n))

    return Forwarding
