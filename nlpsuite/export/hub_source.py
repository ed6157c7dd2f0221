"""Take models from the Hugging Face Hub: --model hf:owner/name or hf:owner/name@revision."""

from __future__ import annotations

from pathlib import Path

from nlpsuite.errors import ModelNotFoundError, ModelUnavailableError
from nlpsuite.export.base import Base, Reporter
from nlpsuite.models.hub import fetch_hub, is_hub_name
from nlpsuite.paths import bases_dir


def base(rest: str, /, *, offline: bool) -> Base:
    """A base of the Hub, by ``owner/name`` or ``owner/name@revision``.

    Raises:
        ModelNotFoundError: ``rest`` is not of that form.
    """
    spec = f"hf:{rest}"
    if not is_hub_name(rest):
        raise ModelNotFoundError(f"{spec!r} names no model.", hint="Write hf:owner/name, or ...@revision.")

    def obtain(workspace: Path, reporter: Reporter, weight_bytes: float) -> Path:
        # huggingface_hub finds what is there already, in a directory of this name.
        kept = bases_dir() / f"models--{rest.partition('@')[0].replace('/', '--')}"
        place = bases_dir() if kept.is_dir() else workspace
        if offline and not kept.is_dir():
            raise ModelUnavailableError(
                f"The model {spec} is not in the cache, and fetching is switched off "
                "(NLPSUITE_OFFLINE or HF_HUB_OFFLINE).",
                hint="Download it elsewhere and pass its directory: --model DIRECTORY.",
            )
        reporter.stage(f"Fetching {spec}", None)
        return fetch_hub(spec, place, offline=offline)

    # The name, not the commit: asking the hub at every start would cost a round trip.
    return Base(rest, spec, spec, obtain, rest.partition("@")[0])
