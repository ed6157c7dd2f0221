"""A corpus as tokens: a tokenizer trained on it, and the packed file that training maps into memory."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nlpsuite.errors import BundleCorruptError, InputInvalidError, InputNotFoundError, OptionError
from nlpsuite.files import atomic_write, atomic_write_text, sha256_file
from nlpsuite.models.tokenizer_files import SpecialTokens, make_tokenizer_files

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = [
    "END_OF_TEXT",
    "Perplexity",
    "TokenFile",
    "load_tokenizer",
    "pack",
    "pieces",
    "tokenizer_files",
    "train_tokenizer",
]

END_OF_TEXT = "<|endoftext|>"
"""The token after each document."""

_FORMAT = "nlpsuite-tokens"
_AGAIN = "Remove the run's directory data/ and start again."
_BYTES = 256
_BATCH_CHARACTERS = 1 << 20  # about 50 MB of encodings at a time
# A letter, digit or sign before a space, or a letter or digit before a newline: a byte-level
# pre-tokenizer (GPT-2's, Llama 3's, Qwen's) splits there whatever comes before and after.
_SPLIT = re.compile(r"\S(?= )|[^\W_](?=\n)")


def pieces(text: str, characters: int = 1 << 14) -> Iterator[str]:
    """Parts of ``text`` of about ``characters``, whose tokens together are those of the whole.

    This lets a long document take no more memory than a short one, and be encoded in parallel.
    Text without any place to split, such as one endless word, stays whole.
    """
    start = 0
    while match := _SPLIT.search(text, start + characters):
        yield text[start : match.end()]
        start = match.end()
    yield text[start:]


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """A byte-level BPE tokenizer for ``texts``; the same texts give the same tokenizer.

    Digits are single tokens and the rest is split as in GPT-2, as the default model's tokenizer does. Id 0 is
    ``<|endoftext|>``; all 256 bytes have a token, so encoding loses nothing of any text.

    Args:
        vocab_size: with ``<|endoftext|>`` and the bytes. ``get_vocab_size()`` is less if the
            texts have too few pairs that occur twice.

    Raises:
        OptionError: ``vocab_size`` has no room for the bytes.
        InputInvalidError: the texts are empty.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    if vocab_size <= _BYTES:
        raise OptionError(
            f"A vocabulary of {vocab_size} tokens is too small: the bytes and {END_OF_TEXT} need {_BYTES + 1}.",
            hint="10,000 suits a few megabytes of text, 32,000 a few hundred.",
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,  # a pair that occurs once is no use
        special_tokens=[AddedToken(END_OF_TEXT, special=True, normalized=False)],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    seen = False

    def all_pieces() -> Iterator[str]:
        nonlocal seen
        for text in texts:
            seen = seen or bool(text.strip())
            yield from pieces(text)

    tokenizer.train_from_iterator(all_pieces(), trainer)
    if not seen:
        raise InputInvalidError("There is no text to train a vocabulary on.", hint="Check the corpus.")
    return tokenizer


def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer in a ``tokenizer.json``.

    Raises:
        BundleCorruptError: the file is missing or damaged.
    """
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises nothing more specific
        raise BundleCorruptError(f"{path} can't be used: {error}.", hint=_AGAIN) from None


def tokenizer_files(tokenizer: Tokenizer, context_length: int | None) -> dict[str, str]:
    """Name -> text of the tokenizer's files, see ``make_tokenizer_files``.

    ``<|endoftext|>`` is the bos, eos and padding token. It isn't added to prompts, since the model learns
    from windows that start anywhere.

    Args:
        context_length: in tokens; None for a recurrent model, which has no limit.
    """
    end = _end_id(tokenizer)
    return make_tokenizer_files(
        tokenizer.to_str(),
        SpecialTokens({END_OF_TEXT: end}, bos=end, unk=None, pad=end, ends=[end]),
        {end: END_OF_TEXT}.get,
        add_bos=False,
        max_length=context_length,
        chat_template=None,
    )


@dataclass(frozen=True)
class Perplexity:
    """How well a model predicts a text, per token, word and byte.

    Perplexities per token are comparable between models with the same tokenizer; per word or byte, between
    any models. The end of each document is predicted too, as is usual for WikiText.

    Attributes:
        nats: sum of -ln p over all tokens.
        tokens: predicted tokens, with those that end documents.
        words: separated by white space.
        bytes: of the text in UTF-8.
    """

    nats: float
    tokens: int
    words: int
    bytes: int

    @property
    def token(self) -> float:
        return _exp(self.nats, self.tokens)

    @property
    def word(self) -> float:
        return _exp(self.nats, self.words)

    @property
    def byte(self) -> float:
        return _exp(self.nats, self.bytes)

    @property
    def bits_per_byte(self) -> float:
        return self.nats / math.log(2) / max(1, self.bytes)

    def figures(self) -> dict[str, float]:
        """The four figures by name, for ``metrics.jsonl`` and results."""
        return {
            "perplexity_token": self.token,
            "perplexity_word": self.word,
            "perplexity_byte": self.byte,
            "bits_per_byte": self.bits_per_byte,
        }

    def __str__(self) -> str:
        return (
            f"{self.token:,.2f} per token, {self.word:,.2f} per word, {self.byte:.3f} per byte "
            f"({self.bits_per_byte:.3f} bits per byte)"
        )


def _exp(nats: float, count: int) -> float:
    mean = nats / max(1, count)
    return math.inf if mean > 700 else math.exp(mean)  # e^710 is no float


@dataclass(frozen=True)
class TokenFile:
    """Tokens on disk: ``NAME.bin``, little-endian integers, and ``NAME.json``, which describes it.

    Attributes:
        path: of both files, without the suffix.
        count: tokens, with ``<|endoftext|>`` after each document.
        dtype: ``uint16`` for up to 65,536 different tokens, otherwise ``uint32``.
        vocab_size: of the tokenizer.
        documents, words, bytes: of the texts; words are what white space separates.
        tokenizer_sha256: of ``Tokenizer.to_str()``.
        data_sha256: of ``NAME.bin``.
    """

    path: Path
    count: int
    dtype: str
    vocab_size: int
    documents: int
    words: int
    bytes: int
    tokenizer_sha256: str
    data_sha256: str

    @classmethod
    def open(cls, path: Path, *, checksum: bool = False) -> TokenFile:
        """The tokens that ``pack`` wrote.

        Args:
            checksum: read the whole file to compare its sha256, instead of its size alone.

        Raises:
            InputNotFoundError: there are none.
            BundleCorruptError: the files are damaged or don't belong together.
        """
        data, sidecar = _files_of(path)
        try:
            about = json.loads(sidecar.read_text(encoding="utf-8"))
            size = data.stat().st_size
        except FileNotFoundError as error:
            raise InputNotFoundError(f"There is no file {error.filename}.", hint=_AGAIN) from None
        except OSError as error:
            raise InputNotFoundError(f"Can't read {error.filename}: {error.strerror}.") from None
        except (ValueError, RecursionError):
            raise BundleCorruptError(f"{sidecar} is not valid JSON.", hint=_AGAIN) from None
        if not isinstance(about, dict) or (about.pop("format", 0), about.pop("version", 0)) != (_FORMAT, 1):
            raise BundleCorruptError(f"{sidecar} wasn't written by this version of nlpsuite.", hint=_AGAIN)
        kinds = {f.name: f.type for f in fields(cls) if f.name != "path"}
        if {name: type(value).__name__ for name, value in about.items()} != kinds or not (
            about["count"] >= 0 and about["dtype"] in ("uint16", "uint32")
        ):
            raise BundleCorruptError(f"{sidecar} is damaged.", hint=_AGAIN)
        described = cls(path, **about)
        expected = described.count * np.dtype(described.dtype).itemsize
        if size != expected:
            raise BundleCorruptError(f"{data} has {size:,} bytes instead of {expected:,}.", hint=_AGAIN)
        if checksum and sha256_file(data) != described.data_sha256:
            raise BundleCorruptError(f"{data} differs from the checksum in {sidecar.name}.", hint=_AGAIN)
        return described

    @cached_property
    def tokens(self) -> NDArray[Any]:
        """(count,) of ``dtype``, read-only, mapped into memory."""
        return np.memmap(_files_of(self.path)[0], np.dtype(self.dtype).newbyteorder("<"), "r")

    def perplexity(self, nats: float) -> Perplexity:
        """The perplexity of a model whose negative log-likelihood of the file is ``nats``."""
        return Perplexity(nats, self.count, self.words, self.bytes)


def pack(texts: Iterable[str], tokenizer: Tokenizer, path: Path) -> TokenFile:
    """Encode texts into ``path``.bin, each followed by ``<|endoftext|>``, in constant memory.

    Control tokens in a text are treated as text, as in inference. The files are written atomically, the
    sidecar last.

    Raises:
        OptionError: the tokenizer has no ``<|endoftext|>``.
        InputInvalidError: there are no texts.
        StorageError: the files can't be written.
    """
    from tokenizers import Tokenizer

    serialised = tokenizer.to_str()
    encoder = Tokenizer.from_str(serialised)  # a copy, so that the caller's keeps its settings
    encoder.encode_special_tokens = True
    encoder.no_truncation()
    encoder.no_padding()
    end = _end_id(tokenizer)
    vocab_size = max(tokenizer.get_vocab().values()) + 1
    dtype = np.dtype("uint16" if vocab_size <= 1 << 16 else "uint32")
    data, sidecar = _files_of(path)
    count = documents = words = size = 0
    digest = hashlib.sha256()

    def parts() -> Iterator[str | None]:
        """Pieces of the texts, and None where a document ends."""
        nonlocal documents, words, size
        for text in texts:
            documents += 1
            for piece in pieces(text):
                words += len(piece.split())  # a piece ends where a word does
                size += len(piece.encode())
                yield piece
            yield None

    with atomic_write(data) as file:
        for batch in _batches(parts()):
            encodings = encoder.encode_batch_fast([part or "" for part in batch], add_special_tokens=False)
            ids = [i for part, e in zip(batch, encodings) for i in ([end] if part is None else e.ids)]
            block = np.array(ids, dtype.newbyteorder("<")).tobytes()
            file.write(block)
            digest.update(block)
            count += len(ids)
        if not documents:
            raise InputInvalidError("There are no texts to tokenize.", hint="Check the corpus.")
        sidecar.unlink(missing_ok=True)  # it describes older data
    packed = TokenFile(
        path,
        count,
        dtype.name,
        vocab_size,
        documents,
        words,
        size,
        hashlib.sha256(serialised.encode()).hexdigest(),
        digest.hexdigest(),
    )
    about = {name: value for name, value in asdict(packed).items() if name != "path"}
    atomic_write_text(sidecar, json.dumps({"format": _FORMAT, "version": 1, **about}, indent=2) + "\n")
    return packed


def _batches(parts: Iterable[str | None]) -> Iterator[list[str | None]]:
    batch: list[str | None] = []
    characters = 0
    for part in parts:
        batch.append(part)
        characters += len(part or "") + 1
        if characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    yield batch


def _files_of(path: Path) -> tuple[Path, Path]:
    return path.with_name(path.name + ".bin"), path.with_name(path.name + ".json")


def _end_id(tokenizer: Tokenizer) -> int:
    end: int | None = tokenizer.token_to_id(END_OF_TEXT)
    if end is None:
        raise OptionError(f"The tokenizer has no token {END_OF_TEXT}.", hint="Train one on the corpus.")
    return end
