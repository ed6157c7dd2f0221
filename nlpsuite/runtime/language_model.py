"""The runtime's public interface: load a bundle, complete prompts, score text."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nlpsuite.errors import BundleUnsuitableError, InputTooLongError, OptionError
from nlpsuite.runtime.bundle import EXACTNESS_GRAPH, Bundle
from nlpsuite.runtime.device import DeviceChoice, choose_device
from nlpsuite.runtime.exactness import is_exact
from nlpsuite.runtime.generation_config import read_sampling
from nlpsuite.runtime.prefill import SharedPrefix, read_shared
from nlpsuite.runtime.prompt import Completion, Prompt, Sampling
from nlpsuite.runtime.scheduler import MAX_POSITIONS, Scheduler
from nlpsuite.runtime.scoring import continuation_logprobs, many_token_logprobs, token_logprobs
from nlpsuite.runtime.session import SlotSession
from nlpsuite.runtime.tokenizer import Tokenizer

__all__ = ["LanguageModel"]


# Tokens of contexts that are scored in one turn, if there are several.
_TURN_TOKENS = 1024
# Bytes for the states of prompts' beginnings: about 1,400 tokens of the default model.
_PREFIXES = 64 * 2**20


class LanguageModel:
    """A bundle ready to run. Make one with ``LanguageModel.load``.

    Thread-safe: calls from several threads share the running batch.
    """

    def __init__(
        self,
        bundle: Bundle,
        session: SlotSession,
        tokenizer: Tokenizer,
        max_slots: int,
        state_bytes: int | None = None,
    ) -> None:
        self.bundle, self.tokenizer = bundle, tokenizer
        self.device = session.device
        self._session, self._max_slots = session, max_slots
        positions = MAX_POSITIONS
        if state_bytes is not None and session.position_bytes:
            positions = max(1, state_bytes // session.position_bytes)
        self._scheduler = Scheduler(
            session,
            tokenizer,
            bundle.end_token_ids,
            bundle.context_length,
            max_slots,
            max_positions=positions,
            prefixes=_PREFIXES,
        )
        self._calibration: dict[Prompt, tuple[float, ...]] = {}
        self._verification: Future[None] | None = None

    @classmethod
    def load(
        cls,
        path: Path | str,
        *,
        device: DeviceChoice = "auto",
        threads: int = 0,
        max_slots: int = 16,
        state_bytes: int | None = None,
    ) -> LanguageModel:
        """Load a bundle directory.

        Checksums are computed in the background while the model loads and reads its first prompt; no
        result is returned before they have been verified.

        Args:
            device: ``auto`` uses CUDA where it works.
            threads: CPU threads; 0 uses every core.
            max_slots: maximum number of prompts in the running batch.
            state_bytes: for the states of the running batch, within which prompts join it; one that needs more by
                itself runs alone. By default those of 65,536 tokens.

        Raises:
            ModelNotFoundError, BundleCorruptError, DeviceUnavailableError.
            BundleUnsuitableError: its integer kernels aren't exact on this CPU.
        """
        if max_slots < 1:
            raise OptionError(f"max_slots is {max_slots}, must be 1 or more.")
        bundle = Bundle.open(Path(path))
        chosen = choose_device(device)
        executor = ThreadPoolExecutor(1)  # hashing releases the interpreter lock
        verification = executor.submit(bundle.verify)
        executor.shutdown(wait=False)
        try:
            _check_kernels(bundle)
            session = SlotSession(bundle.path / bundle.graph("slots").path, chosen, threads)
            tokenizer = Tokenizer.open(bundle.path)
        except Exception:
            verification.result()  # if a file has changed, this error names it
            raise
        model = cls(bundle, session, tokenizer, max_slots, state_bytes)
        model._verification = verification
        return model

    @property
    def context_length(self) -> int:
        """Maximum number of tokens of a prompt and its completion together."""
        return self.bundle.context_length

    @functools.cached_property
    def suggested_sampling(self) -> Sampling | None:
        """How the model's makers would draw tokens in a conversation, if they say so. Tasks have settings of their
        own."""
        return read_sampling(self.bundle.path)

    @property
    def state_bytes(self) -> int:
        """Bytes in use for the states of the running batch and of prompts' beginnings."""
        return self._scheduler.state_bytes

    def count_tokens(self, prompt: Prompt | str) -> int:
        """Number of tokens of a prompt as the model reads it, or of plain text."""
        with self._blaming_damage():
            return self.tokenizer.count(prompt)

    def reset(self) -> None:
        """Discard all state of earlier calls, so that later results don't depend on them.

        Even the size of a buffer can change the order of a sum, and so its last digits.
        """
        self._scheduler.release()
        self._calibration.clear()

    def complete(self, prompts: Sequence[Prompt]) -> list[Completion]:
        """Completions in the order of the prompts; prompts with choices are scored."""
        done = {i: c for i, c in self.stream(prompts) if isinstance(c, Completion)}
        return [done[i] for i in range(len(prompts))]

    def stream(
        self, prompts: Sequence[Prompt], cancelled: Callable[[], bool] | None = None
    ) -> Generator[tuple[int, str | Completion], None, None]:
        """Yield ``(index, piece of text)`` as text is generated and ``(index, completion)`` when a prompt ends.

        Closing the generator early stops generation and frees the slots.

        Args:
            cancelled: asked at each step, while a long prompt is read as well.

        Raises:
            concurrent.futures.CancelledError: ``cancelled`` said yes.
            InputTooLongError: a prompt leaves no room in the context for an answer.
            BundleCorruptError: the bundle's files have changed.
        """
        with self._blaming_damage():
            yield from self._events(prompts, cancelled)

    def _events(
        self, prompts: Sequence[Prompt], cancelled: Callable[[], bool] | None
    ) -> Iterator[tuple[int, str | Completion]]:
        scored = [i for i, prompt in enumerate(prompts) if prompt.choices]
        yield from zip(scored, self._score([prompts[i] for i in scored], cancelled))
        generated = [i for i, prompt in enumerate(prompts) if not prompt.choices]
        with closing(self._scheduler.run((prompts[i] for i in generated), cancelled)) as events:
            for index, event in events:
                self._verified()
                yield generated[index], event

    @contextmanager
    def session(self) -> Iterator[SlotSession]:
        """The session, for measurements, while nothing else runs."""
        with self._scheduler.turn() as occupied:
            assert not occupied
            yield self._session
            self._session.release()

    def token_logprobs(self, text: str) -> npt.NDArray[np.float64]:
        """Natural log-probability of each token of ``text`` after the first, given the preceding ones."""
        ids = self.tokenizer.encode_text(text)
        with self._blaming_damage(), self._scheduler.turn() as slot:
            result = token_logprobs(self._session, ids, self.context_length, slot)
        self._verified()
        return result

    def many_token_logprobs(
        self, rows: Sequence[Sequence[int]], begins: Sequence[int]
    ) -> list[npt.NDArray[np.float64]]:
        """Natural log-probabilities of tokens in many rows, batched by slots.

        Args:
            rows: token ids, at least two per row.
            begins: the first position to score in each row, at least 1.

        Raises:
            InputTooLongError: a row is longer than the context.
        """
        longest = max(map(len, rows), default=0)
        if longest > self.context_length:
            raise InputTooLongError(
                f"{longest:,} tokens exceed the model's context of {self.context_length:,}."
            )
        # Rows of similar length run together.
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        found: dict[int, npt.NDArray[np.float64]] = {}
        with self._blaming_damage(), self._scheduler.turn() as slot:
            for at in range(0, len(order), self._max_slots):
                chosen = order[at : at + self._max_slots]
                results = many_token_logprobs(
                    self._session, [rows[i] for i in chosen], [begins[i] for i in chosen], slot
                )
                found.update(zip(chosen, results))
        self._verified()
        return [found[i] for i in range(len(rows))]

    def _score(self, prompts: Sequence[Prompt], cancelled: Callable[[], bool] | None) -> Iterable[Completion]:
        asked = [prompt.calibration_prompts() for prompt in prompts]
        missing = list(
            dict.fromkeys(p for calibration in asked for p in calibration if p not in self._calibration)
        )
        results = self._logprobs([*prompts, *missing], cancelled)
        self._calibration.update(zip(missing, (scores for _, scores in results[len(prompts) :])))
        self._verified()
        for prompt, calibration, (tokens, scores) in zip(prompts, asked, results):
            yield Completion(
                text=prompt.choices[int(np.argmax(scores))],
                finish_reason="choice",
                prompt_tokens=tokens,
                logprobs=scores,
                calibration_logprobs=tuple(
                    np.mean([self._calibration[p] for p in calibration], axis=0).tolist()
                )
                if calibration
                else (),
            )

    def _logprobs(
        self, prompts: Sequence[Prompt], cancelled: Callable[[], bool] | None
    ) -> list[tuple[int, tuple[float, ...]]]:
        """For each prompt, the number of context tokens and the log-probabilities of its choices."""
        encoded = [self.tokenizer.encode_choices(prompt) for prompt in prompts]
        for context, choices in encoded:
            total = len(context) + max(map(len, choices))
            if total > self.context_length:
                raise InputTooLongError(
                    f"The prompt has {total:,} tokens; the model's context is {self.context_length:,}.",
                    hint="Shorten the input.",
                )
        # An empty context still needs a token before the first choice.
        contexts = [
            context or [self.tokenizer.first_token(self.bundle.end_token_ids)] for context, _ in encoded
        ]
        scores: dict[int, list[float]] = {}
        shared: SharedPrefix | None = None
        for batch in self._turns([len(context) for context in contexts]):
            if cancelled and cancelled():
                raise CancelledError
            with self._scheduler.turn() as slot:
                shared = shared or read_shared(self._session, contexts, slot)
                rows = continuation_logprobs(
                    self._session, [contexts[i] for i in batch], [encoded[i][1] for i in batch], slot, shared
                )
            scores.update(zip(batch, rows))
        return [(len(encoded[i][0]), tuple(scores[i])) for i in range(len(prompts))]

    def _turns(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Indices of contexts to read in one turn: similar lengths together, and not so many that texts which are
        being written wait for long."""
        batch: list[int] = []
        for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
            # The longest comes last, so that this is what all of them take.
            if batch and (len(batch) == self._max_slots or lengths[i] * (len(batch) + 1) > _TURN_TOKENS):
                yield batch
                batch = []
            batch.append(i)
        if batch:
            yield batch

    @contextmanager
    def _blaming_damage(self) -> Iterator[None]:
        """If the bundle's files have changed, report that instead of the failure it caused."""
        try:
            yield
        except Exception:
            self._verified()
            raise

    def _verified(self) -> None:
        """Wait until the files' checksums are verified. Raises BundleCorruptError."""
        if self._verification is not None:
            self._verification.result()
            self._verification = None


def _check_kernels(bundle: Bundle) -> None:
    """Raise BundleUnsuitableError if this machine's integer kernels would compute something else."""
    kernels = bundle.graph("slots").kernels
    if kernels and not is_exact(bundle.path / EXACTNESS_GRAPH):
        raise BundleUnsuitableError(
            f"{bundle.path} was built for a CPU whose {kernels} products are exact; here they would saturate.",
            hint="Export the model again on this machine, or with --precision int4 or fp32.",
        )
