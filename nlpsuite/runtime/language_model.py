"""The public face of the runtime: load a bundle, complete prompts, score text."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nlpsuite.errors import InputTooLongError, OptionError
from nlpsuite.runtime.bundle import Bundle
from nlpsuite.runtime.device import DeviceChoice, choose_device
from nlpsuite.runtime.prompt import Completion, Prompt
from nlpsuite.runtime.scheduler import Scheduler
from nlpsuite.runtime.scoring import continuation_logprobs, many_token_logprobs, token_logprobs
from nlpsuite.runtime.session import SlotSession
from nlpsuite.runtime.tokenizer import Tokenizer

__all__ = ["LanguageModel"]


# A longer state is released between calls: every step reads all of it.
_SHORT = 1024


class LanguageModel:
    """A bundle ready to run. Make one with ``LanguageModel.load``.

    One instance serves one call at a time.
    """

    def __init__(self, bundle: Bundle, session: SlotSession, tokenizer: Tokenizer, max_slots: int) -> None:
        self.bundle, self.tokenizer = bundle, tokenizer
        self.device = session.device
        self._session, self._max_slots = session, max_slots
        self._calibration: dict[Prompt, tuple[float, ...]] = {}
        self._verifier: _Verifier | None = None

    @classmethod
    def load(
        cls, path: Path | str, *, device: DeviceChoice = "auto", threads: int = 0, max_slots: int = 16
    ) -> LanguageModel:
        """Load a bundle directory.

        The files' checksums are computed in the background while the model loads and reads
        its first prompt; nothing is returned before they have been verified.

        Args:
            device: ``auto`` takes CUDA where it works.
            threads: of the CPU; 0 uses every core.
            max_slots: most prompts in the running batch.

        Raises:
            ModelNotFoundError, BundleCorruptError, DeviceUnavailableError.
        """
        if max_slots < 1:
            raise OptionError(f"max_slots is {max_slots}, must be 1 or more.")
        bundle = Bundle.open(Path(path))
        chosen = choose_device(device)
        verifier = _Verifier(bundle)
        try:
            session = SlotSession(bundle.path / bundle.graph("slots").path, chosen, threads)
            tokenizer = Tokenizer.open(bundle.path)
        except Exception:
            verifier.wait()  # says which file it is, if one has changed
            raise
        model = cls(bundle, session, tokenizer, max_slots)
        model._verifier = verifier
        return model

    @property
    def context_length(self) -> int:
        """Most tokens of a prompt and its completion together."""
        return self.bundle.context_length

    def count_tokens(self, prompt: Prompt | str) -> int:
        """Tokens of a prompt as the model will read it, or of plain text."""
        with self._blaming_damage():
            return self.tokenizer.count(prompt)

    def reset(self) -> None:
        """Release everything earlier calls left behind, so that later results don't depend on them.

        Even the size of a buffer can change the order of a sum, and so its last digits.
        """
        self._session.release()
        self._calibration.clear()

    def complete(self, prompts: Sequence[Prompt]) -> list[Completion]:
        """Completions in the order of the prompts; prompts with choices are scored."""
        done = {i: c for i, c in self.stream(prompts) if isinstance(c, Completion)}
        return [done[i] for i in range(len(prompts))]

    def stream(self, prompts: Sequence[Prompt]) -> Generator[tuple[int, str | Completion], None, None]:
        """Yield ``(index, piece of text)`` as text comes and ``(index, completion)`` at each end.

        Closing the generator early stops generating and frees the slots.

        Raises:
            InputTooLongError: a prompt leaves no room in the context for an answer.
            BundleCorruptError: the bundle's files have changed.
        """
        with self._blaming_damage():
            yield from self._events(prompts)

    def _events(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, str | Completion]]:
        if self._session.length > _SHORT:
            # After a long prompt, short ones should start small.
            self._session.release()
        scored = [i for i, prompt in enumerate(prompts) if prompt.choices]
        yield from zip(scored, self._score([prompts[i] for i in scored]))
        generated = [i for i, prompt in enumerate(prompts) if not prompt.choices]
        scheduler = Scheduler(
            self._session, self.tokenizer, self.bundle.end_token_ids, self.context_length, self._max_slots
        )
        for index, event in scheduler.run(prompts[i] for i in generated):
            self._verified()
            yield generated[index], event

    def token_logprobs(self, text: str) -> npt.NDArray[np.float64]:
        """Natural log-probability of each token of ``text`` after the first, given those before."""
        with self._blaming_damage():
            result = token_logprobs(self._session, self.tokenizer.encode_text(text), self.context_length)
        self._verified()
        return result

    def many_token_logprobs(
        self, rows: Sequence[Sequence[int]], begins: Sequence[int]
    ) -> list[npt.NDArray[np.float64]]:
        """Natural log-probability of tokens of many rows, as many at a time as there are slots.

        Args:
            rows: ids, two at least in each.
            begins: the first position of each row that is wanted, 1 or later, and inside the row.

        Raises:
            InputTooLongError: a row is longer than the context.
        """
        longest = max(map(len, rows), default=0)
        if longest > self.context_length:
            raise InputTooLongError(
                f"{longest:,} tokens exceed the model's context of {self.context_length:,}."
            )
        # Rows of like lengths run together.
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        found: dict[int, npt.NDArray[np.float64]] = {}
        with self._blaming_damage():
            for at in range(0, len(order), self._max_slots):
                chosen = order[at : at + self._max_slots]
                results = many_token_logprobs(
                    self._session, [rows[i] for i in chosen], [begins[i] for i in chosen]
                )
                found.update(zip(chosen, results))
        self._verified()
        return [found[i] for i in range(len(rows))]

    def _score(self, prompts: Sequence[Prompt]) -> Iterable[Completion]:
        for begin in range(0, len(prompts), self._max_slots):
            batch = prompts[begin : begin + self._max_slots]
            asked = [prompt.calibration_prompts() for prompt in batch]
            missing = list(
                dict.fromkeys(p for calibration in asked for p in calibration if p not in self._calibration)
            )
            results = self._logprobs([*batch, *missing])
            self._calibration.update(zip(missing, (scores for _, scores in results[len(batch) :])))
            self._verified()
            for prompt, calibration, (tokens, scores) in zip(batch, asked, results):
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

    def _logprobs(self, prompts: Sequence[Prompt]) -> list[tuple[int, tuple[float, ...]]]:
        """Per prompt the tokens of its context and the log-probabilities of its choices."""
        encoded = [self.tokenizer.encode_choices(prompt) for prompt in prompts]
        for context, choices in encoded:
            total = len(context) + max(map(len, choices))
            if total > self.context_length:
                raise InputTooLongError(
                    f"The prompt has {total:,} tokens; the model's context is {self.context_length:,}.",
                    hint="Shorten the input.",
                )
        # An empty context still needs a token before the first choice.
        rows = [(context or [min(self.bundle.end_token_ids)], choices) for context, choices in encoded]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]))
        scores = continuation_logprobs(
            self._session, [rows[i][0] for i in order], [rows[i][1] for i in order]
        )
        by_index = dict(zip(order, scores))
        return [(len(encoded[i][0]), tuple(by_index[i])) for i in range(len(rows))]

    @contextmanager
    def _blaming_damage(self) -> Iterator[None]:
        """Report a failure on changed files as such, not as what it led to."""
        try:
            yield
        except Exception:
            self._verified()
            raise

    def _verified(self) -> None:
        if self._verifier is not None:
            self._verifier.wait()
            self._verifier = None


class _Verifier:
    """Hashes a bundle's files on a thread of its own (hashing releases the interpreter)."""

    def __init__(self, bundle: Bundle) -> None:
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(bundle,), daemon=True)
        self._thread.start()

    def _run(self, bundle: Bundle) -> None:
        try:
            bundle.verify()
        except Exception as error:  # whatever it is, the files are not known to be right
            self._error = error

    def wait(self) -> None:
        """Return once the files are known to be right. Raises BundleCorruptError."""
        self._thread.join()
        if self._error is not None:
            raise self._error
