"""The training loop: one for all models, from scratch or adapters, on one process or many."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from nlpsuite.errors import TrainingError
from nlpsuite.models.language_module import LanguageModule
from nlpsuite.training.acceleration import (
    allow_tf32,
    compile_layers,
    compiles,
    module_lists,
    optimizer_arguments,
    undo_compile,
    uses_bf16,
)
from nlpsuite.training.averaging import WeightAverage
from nlpsuite.training.batch import Batch, LossModule
from nlpsuite.training.checkpoints import load_checkpoint, save_checkpoint, save_weights
from nlpsuite.training.distributed import defer_gradients, share, unsharded
from nlpsuite.training.prefetch import Prefetcher
from nlpsuite.training.preflight import Preflight, check_memory
from nlpsuite.training.report import Outcome, Reason, RunProgress, Validation
from nlpsuite.training.run_directory import RunContext
from nlpsuite.training.schedule import Schedule
from nlpsuite.training.settings import LoopSettings

__all__ = ["Recipe", "Trainer"]

_SAVE_SECONDS = 300.0
_LOG_SECONDS = 1.0
_AHEAD = 3  # batches made before they are needed
_WARM_UP, _COMPILED_WARM_UP, _PROBES = 1, 3, 2  # passes before training, to measure its speed


class Recipe(Protocol):
    """A model and the data it is trained on.

    Attributes:
        module: the model.
    """

    module: LanguageModule

    def trainable(self) -> dict[str, nn.Parameter]:
        """The parameters to train, under their names in checkpoints."""

    def batch(self, index: int) -> Batch:
        """Batch ``index`` of all processes together; depends on the index alone."""

    def heldout(self) -> Iterable[Batch]:
        """The held-out data, in the same batches each time."""

    def metrics(self, loss: float) -> Mapping[str, float]:
        """Held-out ``loss``, in nats per target, in other units."""


class Trainer:
    """Trains a recipe's model within its budget. Can be interrupted and resumed at any step."""

    def __init__(self, recipe: Recipe, context: RunContext) -> None:
        self._recipe, self._run, self._reporter = recipe, context.run, context.reporter
        settings: LoopSettings = context.settings
        self._settings, self._world = settings, context.world
        self._schedule = Schedule(settings)
        module = recipe.module.to(self._world.device)
        module.set_dropout(settings.dropout)
        device = self._world.device
        if allow_tf32(settings.precision, device):
            torch.set_float32_matmul_precision("high")
        module.set_gradient_checkpointing(settings.gradient_checkpointing)
        bf16 = uses_bf16(settings.precision, device)
        self._loss = LossModule(
            module,
            bf16=bf16,
            in_parts=settings.gradient_checkpointing,
            label_smoothing=settings.label_smoothing,
        )
        self._compiled = compiles(settings, device) and compile_layers(module) > 0
        self._shared = share(self._loss, self._world, shard=settings.fsdp, layers=module_lists(module))
        # After sharding, which replaces the parameters.
        self._parameters = recipe.trainable()
        self._optimizer = _optimizer(self._parameters, settings, device)
        self._average = WeightAverage(self._parameters, settings.ema) if settings.ema else None
        gpu = device.type == "cuda"
        self._batches = Prefetcher(self._own_batch, depth=_AHEAD if gpu else 0, pin=gpu)
        self._progress = RunProgress()
        self._signal = 0  # its number, once this process received one
        self._stopping = False  # agreed by all processes

    def preflight(self) -> Preflight:
        """Run a few forward and backward passes to estimate what the run takes; changes nothing.

        Raises:
            TrainingError: too little memory.
        """
        trainable = sum(p.numel() for p in self._parameters.values())
        module = self._recipe.module
        held = [p for p in (*module.parameters(), *module.buffers()) if not p.requires_grad]
        each = 20 if self._average else 16  # weight, gradient, two moments, average
        check_memory(each * trainable + sum(p.numel() * p.element_size() for p in held), self._world)
        tokens, seconds = self._probe()
        return Preflight.measured(
            self._recipe.module,
            trainable,
            sum(tokens) / sum(seconds),
            sum(tokens) / len(tokens),
            self._validation_seconds(),
            self._settings,
            self._world,
        )

    def _probe(self) -> tuple[list[int], list[float]]:
        """Tokens and seconds of a few passes; falls back to layers as they are if they can't be compiled."""
        # The first pass pays for one-time setup. Compiled layers are compiled again for the second, when a size
        # that has changed is found to be variable.
        warm = _COMPILED_WARM_UP if self._compiled else _WARM_UP
        try:
            found = [self._timed_pass(index) for index in range(warm + _PROBES)][warm:]
        except TrainingError:
            raise
        except Exception as error:
            if not self._compiled:
                raise
            self._compiled = False
            undo_compile(self._recipe.module)
            self._reporter.notice(
                f"The layers can't be compiled here, so they run as they are, somewhat slower: {_first_line(error)}"
            )
            return self._probe()
        finally:
            self._optimizer.zero_grad(set_to_none=True)
        return [tokens for tokens, _ in found], [seconds for _, seconds in found]

    def _timed_pass(self, index: int) -> tuple[int, float]:
        batch = self._batch(index)
        start = time.perf_counter()
        _, tokens = self._backward([batch])
        return tokens, time.perf_counter() - start

    def _validation_seconds(self) -> float:
        """How long a look at the held-out data takes, from one of its batches."""
        sizes = [batch.input_ids.numel() for batch in self._recipe.heldout()]
        if not sizes or self._settings.fsdp:
            return 0.0
        batch = next(iter(self._recipe.heldout())).to(self._world.device)
        self._recipe.module.eval()
        start = time.perf_counter()
        with torch.no_grad(), self._memory_errors(), unsharded(self._shared):
            float(self._loss(batch.input_ids, batch.labels))
        seconds = time.perf_counter() - start
        self._recipe.module.train()
        return seconds * sum(sizes) / sizes[0] / self._world.size

    def train(self, *, resume: bool = False) -> Outcome:
        """Train until the budget is used, patience runs out or a signal arrives.

        Raises:
            TrainingError: the loss isn't finite, or memory ran out; the last checkpoint is kept.
            StorageError: a checkpoint can't be written.
        """
        if resume and (saved := self._run.checkpoints()):
            self._progress = load_checkpoint(
                saved[-1], self._parameters, self._optimizer, self._average, self._world
            )
            if not self._run.best.is_dir():  # killed while it was being replaced by better weights
                self._progress.best = math.inf
        if self._world.main:
            self._run.forget_metrics_after(self._progress.step)
        with self._signals(), self._batches:
            return Outcome(self._loop(), self._progress)

    def _loop(self) -> Reason:
        """Take steps until there is a reason to stop."""
        progress, patience = self._progress, self._settings.patience
        start = time.perf_counter() - progress.seconds
        saved_at = logged_at = time.perf_counter()
        logged_tokens = progress.tokens
        share = self._agree(start)
        while share < 1:
            if 0 < patience <= progress.waited:
                return "patience"
            if self._stopping:
                self._save()
                return "interrupted" if self._signal == signal.SIGINT else "terminated"
            rate = self._schedule.rate(share)
            loss, tokens = self._step(rate)
            progress.step += 1
            progress.tokens += tokens
            if self._average:
                self._average.update(progress.step)
            before, share = share, self._agree(start)
            due = self._schedule.evaluation_due(before, share)
            now = time.perf_counter()
            if now - logged_at >= _LOG_SECONDS or due or self._stopping:
                self._log(share, loss, rate, (progress.tokens - logged_tokens) / (now - logged_at))
                logged_at, logged_tokens = now, progress.tokens
            if due:
                self._validate()
                logged_at = time.perf_counter()  # so that the reported speed is that of training
            if due or self._save_due(saved_at):
                self._save()
                saved_at = time.perf_counter()
        return "budget"

    def _agree(self, start: float) -> float:
        """The share of the budget that is used, by the main process's clock; also spreads a stop signal."""
        self._progress.seconds = time.perf_counter() - start
        mine = self._progress.seconds if self._world.main else 0.0
        self._progress.seconds, signals = self._world.sum(mine, float(self._signal))
        self._stopping = signals > 0
        return self._schedule.progress(self._progress.step, self._progress.seconds)

    def _save_due(self, saved_at: float) -> bool:
        every = self._settings.save_steps
        if every is not None:
            return self._progress.step % every == 0
        due = self._world.main and time.perf_counter() - saved_at > _SAVE_SECONDS
        return self._world.sum(float(due))[0] > 0

    def _batch(self, index: int) -> Batch:
        return self._batches.batch(index).to(self._world.device)

    def _own_batch(self, index: int) -> Batch:
        return self._recipe.batch(index).part(self._world.rank, self._world.size)

    def _step(self, rate: float) -> tuple[float, int]:
        """One optimizer step; returns the loss per target (nats) and the tokens read, over all processes."""
        step, settings = self._progress.step, self._settings
        # Dropout depends only on seed, step and rank, so that a resumed run repeats it.
        torch.manual_seed(_seed(settings.seed, step, self._world.rank))
        batches = [self._batch(step * settings.accumulate + i) for i in range(settings.accumulate)]
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        loss, tokens = self._backward(batches)
        norm = torch.tensor(0.0)
        if settings.clip:
            norm = nn.utils.clip_grad_norm_(self._parameters.values(), settings.clip)
        if not (math.isfinite(loss) and math.isfinite(float(norm))):
            raise self._diverged(loss)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return loss, tokens

    def _backward(self, batches: list[Batch]) -> tuple[float, int]:
        """Gradients of the mean loss over all targets of all processes; returns that loss and the tokens read."""
        counts = (sum(b.targets for b in batches), sum(b.input_ids.numel() for b in batches))
        targets, tokens = self._world.sum(*map(float, counts))
        # Distributed training averages gradients: undo its division.
        scale = self._world.size / max(1.0, targets)
        total = torch.zeros((), dtype=torch.float64, device=self._world.device)
        with self._memory_errors():
            for i, batch in enumerate(batches):
                with defer_gradients(self._shared, i < len(batches) - 1):
                    loss: Tensor = self._shared(batch.input_ids, batch.labels)
                    torch.autograd.backward(loss * scale)
                total += loss.detach()
            summed = float(total)  # waits for a GPU, once
        return self._world.sum(summed)[0] / max(1.0, targets), int(tokens)

    def _validate(self) -> None:
        """Take the loss on the held-out data, and save the weights if it has never been lower."""
        with self._average.applied() if self._average else contextlib.nullcontext():
            self._validate_weights()

    def _validate_weights(self) -> None:
        progress, recipe = self._progress, self._recipe
        recipe.module.eval()
        # With shards every process has to compute every batch, since each holds a part of every layer.
        world = self._world.alone() if self._settings.fsdp else self._world
        total, targets = 0.0, 0.0
        with torch.no_grad(), self._memory_errors(), unsharded(self._shared):
            for number, batch in enumerate(recipe.heldout()):
                if number % world.size == world.rank:
                    batch = batch.to(world.device)
                    total += float(self._loss(batch.input_ids, batch.labels))
                    targets += batch.targets
        recipe.module.train()
        total, targets = world.sum(total, targets)
        loss = total / max(1.0, targets)
        if not math.isfinite(loss):
            raise self._diverged(loss)
        better = loss < progress.best
        if better:
            progress.best, progress.best_step, progress.waited = loss, progress.step, 0
            save_weights(self._run.best, self._parameters, self._world)
        else:
            progress.waited += 1
        validation = Validation(loss, recipe.metrics(loss))
        self._append_metrics(validation_loss=loss, metrics=dict(validation.metrics))
        self._reporter.validation(progress, validation)

    def _log(self, share: float, loss: float, rate: float, speed: float) -> None:
        self._append_metrics(
            loss=loss, lr=rate, tokens=self._progress.tokens, tokens_per_second=round(speed, 1)
        )
        self._reporter.step(self._progress, share, loss, speed)

    def _append_metrics(self, **values: Any) -> None:
        if self._world.main:
            progress = self._progress
            self._run.append_metrics(step=progress.step, **values, seconds=round(progress.seconds, 3))

    def _save(self) -> None:
        path = self._run.checkpoint_path(self._progress.step)
        save_checkpoint(path, self._parameters, self._optimizer, self._average, self._progress, self._world)
        if self._world.main:
            self._run.remove_old_checkpoints()

    def _diverged(self, loss: float) -> TrainingError:
        saved = self._run.last_step
        checkpoint = f" The last checkpoint is of step {saved:,}." if saved else ""
        return TrainingError(
            f"The loss or its gradient is {loss if not math.isfinite(loss) else 'not finite'} at step "
            f"{self._progress.step + 1:,}.{checkpoint}",
            hint=f"Start again with a lower learning rate, such as --lr {self._settings.lr / 3:.2g}, "
            "a longer --warmup, or --precision fp32.",
        )

    @contextlib.contextmanager
    def _memory_errors(self) -> Iterator[None]:
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            memory = isinstance(error, MemoryError | torch.OutOfMemoryError)
            if not memory and "can't allocate memory" not in str(error):
                raise
            smaller, more = max(1, self._settings.batch_tokens // 2), 2 * self._settings.accumulate
            raise TrainingError(
                f"Memory ran out at step {self._progress.step + 1:,}.",
                hint=f"Halve the batch but not the step: --batch-tokens {smaller} --accumulate {more}. Or use "
                "--gradient-checkpointing, --quantized-base for an adapter, or --fsdp on several GPUs.",
            ) from error

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """The first Ctrl-C or SIGTERM finishes the step and saves; a second Ctrl-C ends at once."""

        def stop(number: int, frame: object) -> None:
            if self._signal and number == signal.SIGINT:
                raise KeyboardInterrupt
            self._signal = number

        previous: dict[int, Callable[[int, Any], Any] | int | None] = {}
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError):  # not on the main thread
                previous[number] = signal.signal(number, stop)
        try:
            yield
        finally:
            for received, handler in previous.items():
                signal.signal(received, handler)


def _first_line(error: Exception) -> str:
    error = getattr(error, "inner_exception", error)  # torch wraps what a compiler raised
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _optimizer(
    parameters: Mapping[str, nn.Parameter], settings: LoopSettings, device: torch.device
) -> torch.optim.Optimizer:
    decay = settings.weight_decay if settings.optimizer == "adamw" else 0.0
    groups = [
        {"params": [p for p in parameters.values() if p.dim() >= 2], "weight_decay": decay},
        {"params": [p for p in parameters.values() if p.dim() < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(
        groups, lr=settings.lr, betas=(0.9, settings.beta2), **optimizer_arguments(device)
    )


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
