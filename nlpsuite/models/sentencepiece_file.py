"""SentencePiece's own files, ``tokenizer.model``: a protocol buffer of pieces and settings.

Source: ``sentencepiece_model.proto`` of SentencePiece; only the fields that decide about ids are declared here.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlpsuite.errors import BundleCorruptError, ModelUnavailableError, UnsupportedModelError
from nlpsuite.models.sentencepiece import USER_DEFINED, Pieces

__all__ = ["FILE", "SentencePieceFile", "read_sentencepiece"]

FILE = "tokenizer.model"

_ALGORITHMS = {1: "unigram", 2: "bpe"}
_OTHER_ALGORITHMS = {3: "word", 4: "char"}


@dataclass(frozen=True)
class SentencePieceFile:
    """What a file holds; ``roles`` gives the ids of ``bos``, ``eos`` and ``pad``, as far as there are such."""

    pieces: Pieces
    roles: dict[str, int]


def read_sentencepiece(path: Path) -> SentencePieceFile:
    """Read a ``tokenizer.model``.

    Raises:
        ModelUnavailableError: it can't be read.
        UnsupportedModelError: it segments in a way that isn't supported.
        BundleCorruptError: damaged.
    """
    from google.protobuf.message import DecodeError

    try:
        model = _message_class()()
        model.ParseFromString(path.read_bytes())
    except OSError as error:
        raise ModelUnavailableError(
            f"Can't read {path}: {error.strerror or error}.", hint="Check the permissions."
        ) from error
    except DecodeError:
        raise _damaged(path, "not SentencePiece's format") from None
    trainer, normalizer = model.trainer_spec, model.normalizer_spec
    algorithm: Any = _ALGORITHMS.get(trainer.model_type)
    if algorithm is None or trainer.treat_whitespace_as_suffix or not normalizer.escape_whitespaces:
        what = _OTHER_ALGORITHMS.get(trainer.model_type, "spaces otherwise than as a prefix ▁")
        raise UnsupportedModelError(
            f"{path}: SentencePiece with {what} is not supported.",
            hint="Supported: unigram and bpe. Save the model's fast tokenizer (tokenizer.json) beside it.",
        )
    # Pieces that users define are found in the text itself, which has spaces.
    tokens = [p.piece.replace("▁", " ") if p.type == USER_DEFINED else p.piece for p in model.pieces]
    if not tokens or "" in tokens or len(set(tokens)) < len(tokens):
        raise _damaged(path, "no pieces, or an empty or repeated one")
    unknown = trainer.unk_id
    if not 0 <= unknown < len(tokens):
        raise _damaged(path, f"the unknown piece is {unknown} of {len(tokens)}")
    roles = {role: getattr(trainer, f"{role}_id") for role in ("bos", "eos", "pad")}
    pieces = Pieces(
        tokens,
        [p.score for p in model.pieces],
        [p.type for p in model.pieces],
        algorithm,
        unknown,
        space_prefix=normalizer.add_dummy_prefix,
        single_spaces=normalizer.remove_extra_whitespaces,
        charsmap=normalizer.precompiled_charsmap,
    )
    return SentencePieceFile(pieces, {role: i for role, i in roles.items() if 0 <= i < len(tokens)})


def _damaged(path: Path, what: str) -> BundleCorruptError:
    return BundleCorruptError(f"{path} is damaged: {what}.", hint="Download the model again.")


# name -> (number, type, default), types as descriptor.proto names them
_PIECE = {"piece": (1, "STRING", ""), "score": (2, "FLOAT", "0"), "type": (3, "INT32", "1")}
_TRAINER = {
    "model_type": (3, "INT32", "1"),
    "treat_whitespace_as_suffix": (24, "BOOL", "false"),
    "unk_id": (40, "INT32", "0"),
    "bos_id": (41, "INT32", "1"),
    "eos_id": (42, "INT32", "2"),
    "pad_id": (43, "INT32", "-1"),
}
_NORMALIZER = {
    "precompiled_charsmap": (2, "BYTES", ""),
    "add_dummy_prefix": (3, "BOOL", "true"),
    "remove_extra_whitespaces": (4, "BOOL", "true"),
    "escape_whitespaces": (5, "BOOL", "true"),
}


@functools.cache
def _message_class() -> Any:
    """The class of a whole file; fields that aren't declared are skipped."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="sentencepiece_ids.proto", package="ids", syntax="proto2")
    for name, fields in (("Piece", _PIECE), ("Trainer", _TRAINER), ("Normalizer", _NORMALIZER)):
        message = file.message_type.add(name=name)
        for field_name, (number, kind, default) in fields.items():
            message.field.add(
                name=field_name,
                number=number,
                type=field.Type.Value(f"TYPE_{kind}"),
                label=field.LABEL_OPTIONAL,
                default_value=default,
            )
    whole = file.message_type.add(name="Model")
    for number, field_name, name in (
        (1, "pieces", "Piece"),
        (2, "trainer_spec", "Trainer"),
        (3, "normalizer_spec", "Normalizer"),
    ):
        whole.field.add(
            name=field_name,
            number=number,
            type=field.TYPE_MESSAGE,
            type_name=f".ids.{name}",
            label=field.LABEL_REPEATED if field_name == "pieces" else field.LABEL_OPTIONAL,
        )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("ids.Model"))
