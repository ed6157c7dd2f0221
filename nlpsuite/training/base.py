"""The base that an adapter is trained for: finding, loading and recognising it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nlpsuite.errors import AdapterMismatchError, BundleCorruptError, OptionError, UnsupportedModelError
from nlpsuite.export.quantize import BLOCK, Int4Blocks, quantize_int4
from nlpsuite.export.stored_blocks import q4_1_blocks
from nlpsuite.export.weights import encode_rows
from nlpsuite.files import atomic_write_text, storage_errors
from nlpsuite.models.adapter import fingerprint
from nlpsuite.models.checkpoint import Checkpoint, RawTensor
from nlpsuite.models.resolve import open_model, resolve_spec
from nlpsuite.training.run_directory import RunContext

if TYPE_CHECKING:
    from nlpsuite.models.language_module import LanguageModule

__all__ = ["load_base"]


def load_base(context: RunContext, spec: str | None) -> tuple[Checkpoint, str, LanguageModule]:
    """The base of a run: its checkpoint, its fingerprint, and the model in torch.

    Raises:
        OptionError: ``max_length`` is more than its context.
        TrainingError: it can't fit into memory with these settings.
        UnsupportedModelError: its layers can't be held in blocks.
        AdapterMismatchError: it isn't the base that the run was started with.
    """
    import torch

    from nlpsuite.models.language_module import load_module
    from nlpsuite.models.quantized_linear import load_quantized_module
    from nlpsuite.training.acceleration import uses_bf16
    from nlpsuite.training.memory import check_fit

    settings = context.settings
    # Frozen weights can be stored in the precision they are multiplied in; shards of a layer share one type.
    half = not settings.full and not settings.fsdp and uses_bf16(settings.precision, context.world.device)
    try:
        with open_model(resolve_spec(spec), reporter=context.reporter, keep=True) as checkpoint:
            length = checkpoint.config.context_length
            if settings.max_length > length:
                raise OptionError(
                    f"max_length is {settings.max_length:,}, but the context of {checkpoint.name} is {length:,}.",
                    hint=f"--max-length {length}",
                )
            identity = fingerprint(checkpoint)
            _check_recorded(context, checkpoint.name, identity)
            check_fit(checkpoint.config, settings, context.world, context.reporter)
            dtype = torch.bfloat16 if half else torch.float32
            if settings.quantized_base:
                return checkpoint, identity, load_quantized_module(checkpoint, dtype, _rounded)
            return checkpoint, identity, load_module(checkpoint, dtype)
    finally:
        context.reporter.close()


def _rounded(checkpoint: Checkpoint, name: str) -> RawTensor:
    """A matrix that isn't stored in blocks that a layer can hold, in blocks of 4 bits."""
    if dict(checkpoint.config.parameter_shapes())[name][1] % BLOCK:
        raise UnsupportedModelError(
            f"{name} has rows that can't be divided into blocks of {BLOCK} weights.",
            hint="Omit --quantized-base.",
        )
    encoded = encode_rows(checkpoint, name, lambda values, _: quantize_int4(values))
    return q4_1_blocks(Int4Blocks(*encoded))


def _check_recorded(context: RunContext, name: str, found: str) -> None:
    """Record the base of a run the first time; refuse another one when the run is resumed."""
    record = context.run.path / "data" / "base.json"
    if context.world.main and not record.exists():
        with storage_errors(record):
            record.parent.mkdir(exist_ok=True)
        atomic_write_text(record, json.dumps({"name": name, "fingerprint": found}) + "\n")
    context.world.barrier()
    try:
        recorded = json.loads(record.read_text(encoding="utf-8"))["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleCorruptError(f"{record} is damaged: {error!r}.", hint="Start a new run.") from None
    if recorded != found:
        raise AdapterMismatchError(
            f"The base {name} has changed since the run {context.run.path} was started "
            f"(weights {recorded[:12]}, now {found[:12]}).",
            hint="Restore its files to resume the run, or start a new one in another directory.",
        )
