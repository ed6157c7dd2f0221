"""Bases from the Hugging Face Hub, or from a mirror of it that HF_ENDPOINT names."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from nlpsuite.errors import MissingExtraError, ModelNotFoundError, ModelUnavailableError

__all__ = ["MODEL_FILES", "OUT_OF_SPACE", "fetch_hub", "is_hub_name"]

# What a Hugging Face directory may contribute to a bundle. Pickles run code and are left out.
MODEL_FILES = ("*.safetensors", "*.json", "tokenizer*", "*.jinja", "LICENSE*", "README*")
_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*(@[\w./-]+)?", re.ASCII)
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")

OUT_OF_SPACE = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


def is_hub_name(text: str) -> bool:
    """``owner/name`` or ``owner/name@revision``."""
    return _NAME.fullmatch(text) is not None


def fetch_hub(owner_name: str, directory: Path, *, offline: bool = False) -> Path:
    """Download ``owner/name`` or ``owner/name@revision`` from the Hugging Face Hub into ``directory``.

    Takes safetensors weights, JSON and texts, never pickles. ``HF_ENDPOINT`` and ``HF_TOKEN`` apply.
    What an earlier call left there is not fetched again; ``offline`` takes that and asks nobody.
    Returns the directory that ``open_checkpoint`` opens.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
        ModelNotFoundError: no such model or revision, or not a valid name.
        ModelUnavailableError: offline, refused, or the connection broke.
        OSError: ``directory`` can't be written.
    """
    try:
        import huggingface_hub
        from huggingface_hub import errors
        from huggingface_hub.utils.tqdm import (
            are_progress_bars_disabled,
            disable_progress_bars,
            enable_progress_bars,
        )
    except ModuleNotFoundError:
        raise MissingExtraError(
            f"Fetching {owner_name!r} from the Hugging Face Hub needs huggingface_hub.",
            hint="Install the extra: pip install 'nlpsuite[train]'.",
        ) from None
    repository, _, revision = owner_name.removeprefix("hf:").partition("@")
    shown = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        return Path(
            huggingface_hub.snapshot_download(
                repository,
                revision=revision or None,
                cache_dir=directory,
                allow_patterns=list(MODEL_FILES),
                local_files_only=offline,
                ignore_patterns=["*/*", *_PICKLES],  # a subdirectory holds other formats or checkpoints
                endpoint=os.environ.get("HF_ENDPOINT") or None,
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
            hint="Check the spelling: hf:owner/name or hf:owner/name@revision. A private one needs HF_TOKEN.",
        ) from error
    except Exception as error:
        # The HTTP library below, and with it the errors of a broken connection, differs by version.
        if isinstance(error, OSError) and error.errno in (*OUT_OF_SPACE, errno.EACCES, errno.EROFS):
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ModelUnavailableError(
            f"The model {repository} could not be fetched from the Hugging Face Hub: {reason}.",
            hint="Check the network (HF_ENDPOINT names a mirror), or download the model elsewhere and pass "
            "its directory: --model DIRECTORY.",
        ) from error
    finally:
        if shown:
            enable_progress_bars()
