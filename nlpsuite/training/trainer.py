"""The training loop: one for all models, from scratch or adapters, on one process or many."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from nlpsuite.errors import TrainingError
from nlpsuite.models.language_module import LanguageModule
from nlpsuite.training.batch import Batch, LossModule
from nlpsuite.training.checkpoints import (
    Progress,
    load_checkpoint,
    load_weights,
    save_checkpoint,
    save_weights,
)
from nlpsuite.training.distributed import World, gradients_stay_here, put_together, share
from nlpsuite.training.preflight import Preflight, check_memory, out_of_memory_advice
from nlpsuite.training.run_directory import RunDirectory
from nlpsuite.training.schedule import Schedule
from nlpsuite.training.settings import LoopSettings

__all__ = ["Evaluation", "Outcome", "Recipe", "TrainReporter", "Trainer"]

_SAVE_SECONDS = 300.0
_LOG_SECONDS = 1.0


@dataclass(frozen=True)
class Evaluation:
    """What the held-out data say.

    Attributes:
        loss: nats per target token; the best weights are those where it is lowest.
        metrics: further figures by name.
        sample: a text that the model wrote, or empty.
    """

    loss: float
    metrics: Mapping[str, Any]
    sample: str = ""


class Recipe(Protocol):
    """What is trained on what.

    Attributes:
        module: the model.
    """

    module: LanguageModule

    def trainable(self) -> dict[str, nn.Parameter]:
        """The parameters that are trained, under the names that checkpoints give them."""

    def batch(self, index: int, world: World) -> Batch:
        """This process's rows of batch ``index``; a function of its arguments alone."""

    def evaluate(self, loss: LossModule, world: World) -> Evaluation:
        """Look at the held-out data. Every process calls it and gets the same."""


class TrainReporter(Protocol):
    """Told how a run goes; on the main process only."""

    def preflight(self, preflight: Preflight) -> None: ...

    def step(self, progress: Progress, share: float, loss: float, tokens_per_second: float) -> None: ...

    def evaluation(self, progress: Progress, evaluation: Evaluation) -> None: ...

    def notice(self, text: str) -> None: ...


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        reason: ``budget``, ``patience``, ``interrupted`` or ``terminated``.
        progress: where it stands.
        evaluation: the best one's loss and step are in ``progress``; this is the last.
    """

    reason: str
    progress: Progress
    evaluation: Evaluation | None


class Trainer:
    """Trains a recipe's model within its budget, and can be stopped and gone on with at any step."""

    def __init__(
        self,
        recipe: Recipe,
        settings: LoopSettings,
        run: RunDirectory,
        world: World,
        reporter: TrainReporter,
    ) -> None:
        self._recipe, self._settings, self._run, self._world, self._reporter = (
            recipe, settings, run, world, reporter,
        )  # fmt: skip
        self._schedule = Schedule(settings)
        self._bf16 = uses_bf16(settings.precision, world.device)
        module = recipe.module.to(world.device)
        module.set_dropout(settings.dropout)
        self._loss = LossModule(module, bf16=self._bf16)
        layers = [m for m in module.modules() if isinstance(m, nn.ModuleList)]
        self._shared = share(
            self._loss, world, shard=settings.fsdp, layers=[layer for group in layers for layer in group]
        )
        # After sharding, which puts others in the place of those there were.
        self._parameters = recipe.trainable()
        self._optimizer = _optimizer(self._parameters, settings)
        self._progress = Progress()
        self._evaluation: Evaluation | None = None
        self._stop: int = 0  # the number of the signal that asked for it

    def preflight(self) -> Preflight:
        """Run one batch forth and back, a few times, to see what a run takes; changes nothing.

        Raises:
            TrainingError: the machine has too little memory.
        """
        trainable = sum(p.numel() for p in self._parameters.values())
        frozen = sum(
            p.numel() * p.element_size() for p in self._recipe.module.parameters() if not p.requires_grad
        )
        check_memory(16 * trainable + frozen, self._world)
        batch = self._batch(0)
        seconds = []
        for _ in range(3):  # the first pays for what is set up once, another for what else the machine does
            begin = time.perf_counter()
            _, tokens = self._backward([batch])
            seconds.append(time.perf_counter() - begin)
        self._optimizer.zero_grad(set_to_none=True)
        return Preflight.measured(
            self._recipe.module, trainable, tokens / min(seconds), tokens, self._settings, self._world
        )

    def train(self, *, resume: bool = False) -> Outcome:
        """Train to the end of the budget, or until patience or a signal ends it earlier.

        Raises:
            TrainingError: the loss is no number, or memory ran out; the last checkpoint is kept.
            StorageError: a checkpoint can't be written.
        """
        if resume and (saved := self._run.checkpoints()):
            self._progress = load_checkpoint(saved[-1], self._parameters, self._optimizer, self._world)
        if self._world.main:
            self._run.forget_metrics_after(self._progress.step)
        with self._signals():
            return self._loop()

    def evaluate_best(self) -> Evaluation:
        """Put the weights of the best evaluation into the model and look at the held-out data again."""
        load_weights(self._run.path / "best", self._parameters)
        return self._look()

    def _look(self) -> Evaluation:
        self._recipe.module.eval()
        # Shards are put together by all processes at once, so each has to take every step.
        world = self._world.alone() if self._settings.fsdp else self._world
        with torch.no_grad(), self._memory_errors(), put_together(self._shared):
            evaluation = self._recipe.evaluate(self._loss, world)
        self._recipe.module.train()
        return evaluation

    def _loop(self) -> Outcome:
        progress, settings = self._progress, self._settings
        begun = time.perf_counter() - progress.seconds
        saved_at = logged_at = time.perf_counter()
        logged_tokens = progress.tokens
        share = self._agreed_share(begun)
        if progress.waited and progress.waited >= settings.patience > 0:
            return Outcome("patience", progress, None)
        while share < 1:
            rate = self._schedule.rate(share)
            loss, tokens = self._step(rate)
            progress.step += 1
            progress.tokens += tokens
            before, share = share, self._agreed_share(begun)
            now = time.perf_counter()
            over = share >= 1
            due = self._schedule.evaluation_due(before, share)
            if now - logged_at >= _LOG_SECONDS or due or self._stop:
                self._log(share, loss, rate, (progress.tokens - logged_tokens) / (now - logged_at))
                logged_at, logged_tokens = now, progress.tokens
            if due:
                if self._evaluate():
                    save_weights(self._run.path / "best", self._parameters, self._world)
                self._save()
                saved_at = logged_at = time.perf_counter()  # the speed is that of training
                logged_tokens = progress.tokens
                if progress.waited >= settings.patience > 0 and not over:
                    return Outcome("patience", progress, self._evaluation)
            elif self._save_due(saved_at):
                self._save()
                saved_at = time.perf_counter()
            if self._stop and not over:
                self._save()
                reason = "terminated" if self._stop == signal.SIGTERM else "interrupted"
                return Outcome(reason, progress, self._evaluation)
        return Outcome("budget", progress, self._evaluation)

    def _agreed_share(self, begun: float) -> float:
        """How far the run is by the main process's clock, and whether any process was told to stop."""
        self._progress.seconds = time.perf_counter() - begun
        mine = self._progress.seconds if self._world.main else 0.0
        self._progress.seconds, stop = self._world.sum(mine, float(self._stop))
        if stop and not self._stop:
            self._stop = int(signal.SIGTERM)
        return self._schedule.progress(self._progress.step, self._progress.seconds)

    def _save_due(self, saved_at: float) -> bool:
        every = self._settings.save_steps
        if every is not None:
            return self._progress.step % every == 0
        due = self._world.main and time.perf_counter() - saved_at > _SAVE_SECONDS
        return self._world.sum(float(due))[0] > 0

    def _batch(self, index: int) -> Batch:
        return self._recipe.batch(index, self._world).to(self._world.device)

    def _step(self, rate: float) -> tuple[float, int]:
        """One optimizer step; gives the loss per target (nats) and the tokens read, of all processes."""
        step, settings = self._progress.step, self._settings
        # Dropout depends on seed, step and rank alone, so that a run can be gone on with.
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
        """Gradients of the mean loss over all targets of all processes; gives that loss, and the tokens read."""
        counts = (sum(b.targets for b in batches), sum(b.input_ids.numel() for b in batches))
        targets, tokens = self._world.sum(*map(float, counts))
        # Distributed training averages gradients: undo its division.
        scale = self._world.size / max(1.0, targets)
        total = 0.0
        with self._memory_errors():
            for i, batch in enumerate(batches):
                with gradients_stay_here(self._shared, i < len(batches) - 1):
                    loss: Tensor = self._shared(batch.input_ids, batch.labels)
                    torch.autograd.backward(loss * scale)
                total += float(loss.detach())
        return self._world.sum(total)[0] / max(1.0, targets), int(tokens)

    def _evaluate(self) -> bool:
        """Look at the held-out data; True if they were never predicted better."""
        progress = self._progress
        evaluation = self._evaluation = self._look()
        if not math.isfinite(evaluation.loss):
            raise self._diverged(evaluation.loss)
        better = evaluation.loss < progress.best
        if better:
            progress.best, progress.best_step, progress.waited = evaluation.loss, progress.step, 0
        else:
            progress.waited += 1
        if self._world.main:
            sample = {"sample": evaluation.sample} if evaluation.sample else {}
            self._run.append_metrics(
                step=progress.step,
                validation_loss=evaluation.loss,
                metrics=dict(evaluation.metrics),
                seconds=round(progress.seconds, 3),
                **sample,
            )
            self._reporter.evaluation(progress, evaluation)
        return better

    def _log(self, share: float, loss: float, rate: float, speed: float) -> None:
        if self._world.main:
            progress = self._progress
            self._run.append_metrics(
                step=progress.step,
                loss=loss,
                lr=rate,
                tokens=progress.tokens,
                tokens_per_second=round(speed, 1),
                seconds=round(progress.seconds, 3),
            )
            self._reporter.step(progress, share, loss, speed)

    def _save(self) -> None:
        path = self._run.checkpoint_path(self._progress.step)
        save_checkpoint(path, self._parameters, self._optimizer, self._progress, self._world)
        if self._world.main:
            self._run.remove_old_checkpoints()

    def _diverged(self, loss: float) -> TrainingError:
        saved = self._run.checkpoints()
        kept = f" The checkpoint of step {int(saved[-1].name[5:]):,} is kept." if saved else ""
        return TrainingError(
            f"The loss or its gradient is {loss if not math.isfinite(loss) else 'not finite'} at step "
            f"{self._progress.step + 1:,}.{kept}",
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
            raise TrainingError(
                f"Memory ran out at step {self._progress.step + 1:,}.",
                hint=out_of_memory_advice(self._settings),
            ) from error

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """The first Ctrl-C or SIGTERM lets the step end and saves; a second Ctrl-C ends at once."""

        def ask(number: int, frame: object) -> None:
            if self._stop and number == signal.SIGINT:
                raise KeyboardInterrupt
            self._stop = number

        previous: dict[int, Callable[[int, Any], Any] | int | None] = {}
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError):  # not on the main thread
                previous[number] = signal.signal(number, ask)
        try:
            yield
        finally:
            for stopper, handler in previous.items():
                signal.signal(stopper, handler)


def uses_bf16(precision: str, device: torch.device) -> bool:
    """Whether matrix products are in bfloat16; ``auto`` asks the hardware."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _optimizer(parameters: Mapping[str, nn.Parameter], settings: LoopSettings) -> torch.optim.Optimizer:
    decay = settings.weight_decay if settings.optimizer == "adamw" else 0.0
    groups = [
        {"params": [p for p in parameters.values() if p.dim() >= 2], "weight_decay": decay},
        {"params": [p for p in parameters.values() if p.dim() < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=settings.lr, betas=(0.9, settings.beta2), fused=True)


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
