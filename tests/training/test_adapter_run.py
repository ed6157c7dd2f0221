"""A whole run of ``train adapter``: what the model learns, what is written, what is refused."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import Recorder, start_training, wait_for
from tiny import CONFIGS, write_tiny_checkpoint

import nlpsuite
from nlpsuite.data.examples import Example
from nlpsuite.data.record import Record
from nlpsuite.errors import (
    AdapterMismatchError,
    InputInvalidError,
    InputNotFoundError,
    MissingExtraError,
    NlpsuiteError,
    OptionError,
    UnknownTaskError,
)
from nlpsuite.models.adapter import Adapter, fingerprint
from nlpsuite.models.checkpoint import Checkpoint, open_checkpoint
from nlpsuite.models.checkpoint_write import write_checkpoint
from nlpsuite.models.language_module import build_module, load_module
from nlpsuite.models.merged import MergedCheckpoint
from nlpsuite.options import make_options
from nlpsuite.plugins import load_task
from nlpsuite.runtime.prompt import Message
from nlpsuite.runtime.tokenizer import Tokenizer
from nlpsuite.training.adapter import ExampleEncoder, split_examples
from nlpsuite.training.batch import LossModule, pad_rows
from nlpsuite.training.run_adapter import AdapterReport, train_adapter
from nlpsuite.training.run_directory import RunDirectory
from nlpsuite.training.settings import AdapterSettings

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's exporter's own

GOOD, BAD = "lovely warm funny clever bright".split(), "dull cold rude broken slow".split()
THINGS = "film meal book song room phone".split()
WORDS = {"cat": "Katze", "dog": "Hund"}
SETTINGS: dict[str, Any] = {
    "steps": 100,
    "batch_tokens": 512,
    "rank": 4,
    "alpha": 16.0,
    "lr": 0.008,
    "max_length": 200,
    "evaluations": 4,
    "precision": "fp32",
    "threads": 1,
    "scored_examples": 0,  # exporting a model takes longer than training one this small
}


# Data and base.


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A decoder with fresh weights, as training from scratch begins: those of other tests are hard to move."""
    place = tmp_path_factory.mktemp("base") / "tiny-base"
    given = open_checkpoint(write_tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "tiny"))
    torch.manual_seed(0)
    module = build_module(given.config)
    module.initialize()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            # So that the head, which an adapter leaves alone, can be sure of an answer, and that
            # the layers tell words apart.
            parameter.mul_(8 if "embed" in name else 4 if parameter.dim() == 2 else 1)
    weights = {name: parameter.detach().numpy() for name, parameter in module.named_parameters()}
    write_checkpoint(place, given.config, weights, given.tokenizer_files())
    return place


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two thirds positive, which one word of the four shows."""
    generator = random.Random(1)
    lines = ["sentence\tlabel"]
    for number in range(150):
        label = int(number % 3 > 0)
        word = generator.choice(GOOD if label else BAD)
        lines.append(f"the {generator.choice(THINGS)} {number} is {word}\t{label}")
    path = tmp_path_factory.mktemp("reviews") / "reviews.tsv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def phrases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("phrases") / "phrases.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number in range(120):
            english = list(WORDS)[number % 2]
            row = {"en": f"{number} {english}", "translation": WORDS[english]}
            file.write(json.dumps(row) + "\n")
    return path


class Run:
    """``train_adapter`` with settings so small that it takes a second or two."""

    def __init__(self, base: Path, recorder: Recorder) -> None:
        self.base, self.recorder = base, recorder

    def __call__(
        self, path: Path, data: Path | None, task: str = "sentiment", **changes: Any
    ) -> AdapterReport:
        base = str(changes.pop("base", self.base))
        if data is None:
            return train_adapter(output=path, reporter=self.recorder, **changes)
        settings = changes if changes.get("resume") else {**SETTINGS, **changes}
        return train_adapter(task, data, base=base, output=path, reporter=self.recorder, **settings)


@pytest.fixture
def run(base: Path, recorder: Recorder) -> Run:
    return Run(base, recorder)


@dataclasses.dataclass
class Done:
    """The run that most tests look at."""

    path: Path
    report: AdapterReport
    recorder: Recorder
    adapter: Adapter


@pytest.fixture(scope="module")
def done(base: Path, reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    torch.set_num_threads(1)
    recorder = Recorder()
    path = tmp_path_factory.mktemp("done") / "run"
    report = Run(base, recorder)(path, reviews, license="CC0-1.0", heldout=0.2, scored_examples=25)
    return Done(path, report, recorder, Adapter.open(path / "adapter.safetensors"))


def test_it_learns_to_tell_labels_apart(done: Done) -> None:
    losses = [validation.loss for validation in done.recorder.validations]
    assert len(losses) == 4 and losses[-1] < losses[0] / 2
    assert done.report.figures["validation_loss"] == min(losses)
    assert done.report.figures["n"] == 25  # of 30 that are held out
    assert done.report.figures["accuracy"] > 0.9 and done.report.figures["macro_f1"] > 0.9  # majority: 0.67


def test_the_file_says_what_it_is(done: Done, base: Path, reviews: Path) -> None:
    info, task = done.adapter.info, load_task("sentiment")
    assert done.report.result == done.adapter.path
    assert (done.report.run, done.report.task, done.report.base) == (done.path, "sentiment", str(base))
    assert (info.task, info.task_version, info.distribution) == ("sentiment", task.version, "nlpsuite")
    assert info.distribution_version and info.created_by.startswith("nlpsuite ")
    assert (info.base, info.base_fingerprint) == ("tiny-base", fingerprint(open_checkpoint(base)))
    assert (info.rank, info.alpha) == (4, 16.0)
    assert info.options == {"examples": False, "calibrate": False}
    [data] = info.data
    digest = hashlib.sha256(reviews.read_bytes()).hexdigest()
    assert data == {"name": "reviews.tsv", "sha256": digest, "rows": 150, "license": "CC0-1.0"}
    assert info.evaluation == done.report.figures
    assert (info.evaluation["n"], info.evaluation["precision"]) == (25, "int8")
    assert info.evaluation["runtime"].startswith("onnxruntime 1.")
    assert info.evaluation["runtime"].endswith("ExecutionProvider")


def test_the_figures_are_those_of_the_model_that_users_run(done: Done, base: Path) -> None:
    """The evaluation again, from the adapter's file alone, by the suite's public functions."""
    pipeline = nlpsuite.load("sentiment", model=str(base), adapter=done.adapter.path, device="cpu")
    assert pipeline.model.bundle.graph("slots").precision == "int8"
    examples = heldout_of(done)[:25]
    outputs = pipeline.map([example.record.text for example in examples])
    right = [output.label == example.reference for output, example in zip(outputs, examples)]
    assert sum(right) / 25 == done.adapter.info.evaluation["accuracy"]
    assert [stage.partition(" ")[0] for stage in done.recorder.stages] == ["Exporting", "Answering"]
    assert not list(done.path.glob(".incomplete-*"))  # the bundle that was measured is gone


def test_the_run_directory_says_how_it_went(done: Done) -> None:
    result = json.loads((done.path / "result.json").read_text())
    assert (result["ended_by"], result["steps"], result["left_out"]) == ("budget", 100, 0)
    assert result["figures"]["accuracy"] > 0.9
    described = json.loads((done.path / "run.json").read_text())["settings"]
    assert described["task"] == "sentiment" and described["rank"] == 4
    assert (done.path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_merged_into_the_base_it_has_the_trained_models_loss(done: Done, base: Path) -> None:
    module = load_module(MergedCheckpoint(open_checkpoint(base), done.adapter))  # type: ignore[arg-type]
    encoder = encoder_of("sentiment", open_checkpoint(base), done.path / "data")
    batch = pad_rows([(e.ids, e.prompt_length) for e in map(encoder.encode, heldout_of(done))])
    with torch.no_grad():
        loss = float(LossModule(module, bf16=False)(batch.input_ids, batch.labels)) / batch.targets
    # The file holds half precision; the run had float32.
    assert loss == pytest.approx(done.adapter.info.evaluation["validation_loss"], rel=0.01, abs=1e-3)


def test_its_weights_are_the_runs_in_half_precision(done: Done, base: Path) -> None:
    from safetensors.numpy import load_file

    best = load_file(done.path / "best" / "weights.safetensors")
    saved = load_file(done.adapter.path)
    assert best.keys() == saved.keys()
    for name, values in best.items():
        np.testing.assert_array_equal(saved[name], values.astype(np.float16))


def test_merged_or_beside_the_layers_the_logits_are_the_same(done: Done, base: Path) -> None:
    from nlpsuite.models.lora import add_lora, lora_parameters
    from nlpsuite.training.checkpoints import read_weights

    merged = load_module(MergedCheckpoint(open_checkpoint(base), done.adapter))  # type: ignore[arg-type]
    beside = load_module(open_checkpoint(base))
    ids = torch.randint(3, 300, (3, 40), generator=torch.Generator().manual_seed(0))
    before = beside(ids)[0].detach()
    add_lora(beside, rank=4, alpha=16.0)
    weights = read_weights(done.path / "best")
    with torch.no_grad():
        for name, parameter in lora_parameters(beside).items():
            parameter.copy_(weights[name])
        found, expected = merged(ids)[0], beside(ids)[0]
    scale = float((expected - before).abs().max())
    assert scale > 1  # the adapter does something, and all of it is in the file
    torch.testing.assert_close(found, expected, atol=0.005 * scale, rtol=0)


def heldout_of(done: Done) -> list[Example]:
    from nlpsuite.data.examples import read_examples

    settings = json.loads((done.path / "run.json").read_text())
    names = {field.name for field in dataclasses.fields(AdapterSettings)}
    chosen = make_options(AdapterSettings, {k: v for k, v in settings["settings"].items() if k in names})
    examples = list(read_examples(settings["data"][0], load_task("sentiment")))
    return split_examples(examples, chosen)[1]


def test_a_generating_task_learns_to_answer(run: Run, phrases: Path, base: Path, tmp_path: Path) -> None:
    report = run(
        tmp_path / "run", phrases, "translate", options={"to": "German"}, evaluations=2, scored_examples=10
    )
    assert report.result is not None
    assert report.figures["chrf"] > 90 and report.figures["n"] == 10
    assert run.recorder.validations[-1].loss < run.recorder.validations[0].loss
    info = Adapter.open(report.result).info
    assert info.options == {"plain": True, "to": "German"}  # the user's over the task's own
    pipeline = nlpsuite.load("translate", model=str(base), adapter=report.result)
    assert pipeline("3 dog").text in WORDS.values()


def test_all_weights(run: Run, reviews: Path, base: Path, tmp_path: Path) -> None:
    report = run(tmp_path / "run", reviews, full=True, steps=60, heldout=0.2, scored_examples=30)
    assert report.result == tmp_path / "run" / "model"
    trained, given = open_checkpoint(report.result), open_checkpoint(base)
    assert trained.config == given.config
    assert trained.tokenizer_files() == given.tokenizer_files()
    assert report.figures["accuracy"] > 0.9 and report.figures["n"] == 30
    name = "model.layers.0.mlp.up_proj.weight"
    assert not np.array_equal(trained.tensor(name), given.tensor(name))
    card = (report.result / "README.md").read_text(encoding="utf-8")
    assert "base_model: tiny-base" in card and "`reviews.tsv` (150 rows)" in card
    for figure in ("| accuracy |", "| n | 30 |", "| precision | int8 |", "| runtime | onnxruntime"):
        assert figure in card


def test_what_can_not_be_run_here_is_saved_with_its_loss_alone(
    run: Run, reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> Path:
        raise MissingExtraError("exporting one needs onnxscript.", hint="Install the extra.")

    monkeypatch.setattr("nlpsuite.training.measure.build_bundle", fail)
    path = tmp_path / "run"
    report = run(path, reviews, steps=1, evaluations=1, scored_examples=5)
    assert list(report.figures) == ["validation_loss"]
    assert report.result is not None and Adapter.open(report.result).info.evaluation == report.figures
    [notice] = run.recorder.notices
    assert "needs onnxscript. Install the extra." in notice
    assert f"nlpsuite train adapter --resume -o {path}" in notice
    assert RunDirectory.open(path).result()["figures"] == report.figures  # type: ignore[index]
    weights = report.result.read_bytes()[-1000:]
    monkeypatch.undo()
    report = run(path, None, resume=True)  # as the notice says
    assert report.figures["n"] == 5 and "accuracy" in report.figures
    assert report.result is not None and report.result.read_bytes()[-1000:] == weights


@pytest.mark.slow
def test_a_base_in_bfloat16_is_taught_as_well(run: Run, reviews: Path, tmp_path: Path) -> None:
    report = run(tmp_path / "run", reviews, precision="bf16", heldout=0.2, scored_examples=30)
    assert report.figures["accuracy"] > 0.9


def test_targets_and_rank_are_the_users(run: Run, reviews: Path, tmp_path: Path) -> None:
    report = run(tmp_path / "run", reviews, targets="v_proj, o_proj", rank=2, steps=2, evaluations=1)
    assert report.result is not None
    adapter = Adapter.open(report.result)
    assert adapter.info.rank == 2
    assert {name.split(".")[-2] for name in adapter.names} == {"v_proj", "o_proj"}


def test_what_is_too_long_is_left_out_and_counted(run: Run, tmp_path: Path) -> None:
    data = tmp_path / "reviews.csv"
    with data.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for number in range(30):
            writer.writerow([f"{number} good" * (60 if number % 10 == 0 else 1), "positive"])
    report = run(tmp_path / "run", data, steps=1, evaluations=1, max_length=60, heldout=0.2)
    assert run.recorder.notices == ["3 examples with more than 60 tokens are left out."]
    assert json.loads((tmp_path / "run" / "result.json").read_text())["left_out"] == 3
    assert report.result is not None and Adapter.open(report.result).info.data[0]["rows"] == 27


# Options that the data decide.


def tickets(path: Path, labels: Mapping[str, str]) -> Path:
    """Rows whose label one word shows."""
    generator = random.Random(2)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "category"))
        for number in range(120):
            kind = generator.choice(list(labels))
            word = generator.choice(GOOD if kind == "good" else BAD)
            writer.writerow((f"the {generator.choice(THINGS)} {number} is {word}", labels[kind]))
    return path


def test_labels_are_learned_from_the_data(run: Run, base: Path, tmp_path: Path) -> None:
    data = tickets(tmp_path / "tickets.csv", {"good": "positive", "bad": "Act, now"})
    report = run(tmp_path / "run", data, "classify", heldout=0.25, scored_examples=20)
    assert report.result is not None and report.figures["accuracy"] > 0.8
    info = Adapter.open(report.result).info
    assert info.options == {"plain": True, "calibrate": False, "labels": "Act, now\npositive"}
    assert 0.05 <= info.temperature <= 20 and info.temperature != 1
    pipeline = nlpsuite.load("classify", model=str(base), adapter=report.result, device="cpu")
    assert pipeline.model.bundle.adapter is not None
    assert pipeline.model.bundle.adapter["temperature"] == pipeline.temperature == info.temperature
    output = pipeline("the film is lovely")
    assert output.label == "positive" and sum((output.probabilities or {}).values()) == pytest.approx(1)
    cooler = pipeline.temperature
    pipeline.temperature = 1.0
    sure, plain = (max((o.probabilities or {}).values()) for o in (output, pipeline("the film is lovely")))
    assert (sure > plain) == (cooler < 1)


def test_several_labels_are_learned_one_by_one(run: Run, base: Path, tmp_path: Path) -> None:
    data = tickets(tmp_path / "tickets.csv", {"good": "positive; thing", "bad": "thing"})
    report = run(
        tmp_path / "run", data, "classify", options={"multi": True}, heldout=0.25, scored_examples=20
    )
    assert "label_micro_f1" in report.figures, run.recorder.notices
    assert report.figures["label_micro_f1"] > 0.8 and report.result is not None
    assert Adapter.open(report.result).info.data[0]["rows"] == 240  # each label of each row
    pipeline = nlpsuite.load("classify", model=str(base), adapter=report.result, device="cpu")
    assert pipeline("the film is lovely").label == "positive; thing"


def test_what_can_not_be_labels_is_refused(run: Run, tmp_path: Path) -> None:
    data = tickets(tmp_path / "tickets.csv", {"good": "one", "bad": "one"})
    with pytest.raises(InputInvalidError, match="only the label 'one'"):
        run(tmp_path / "run", data, "classify")
    with pytest.raises(InputInvalidError, match=r"tickets.csv:2: 'one' is not a label of classify"):
        run(tmp_path / "other", data, "classify", options={"labels": "two,three"})


# The tokens of training are those of inference.


def encoder_of(name: str, checkpoint: Checkpoint, place: Path, **options: Any) -> ExampleEncoder:
    place.mkdir(exist_ok=True)
    for file, text in checkpoint.tokenizer_files().items():
        (place / file).write_text(text, encoding="utf-8")
    task = load_task(name)
    chosen = make_options(task.options, {**task.adapter_options, **options})
    return ExampleEncoder(task, chosen, Tokenizer.open(place), end_ids=[2, 0])


@pytest.mark.parametrize(
    "name, reference, target",
    [
        ("summarize", "A short\nsummary.", " A short summary."),
        ("translate", "Der Text  ist kurz. ", " Der Text ist kurz."),
        ("chat", " It is. ", "It is."),
        ("complete", "return 1\n", "return 1\n"),
    ],
)
def test_an_encoded_example_is_the_prompt_of_inference_and_its_answer(
    name: str, reference: str, target: str, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    encoder = encoder_of(name, tiny_checkpoint, tmp_path / "tokenizer")
    record = Record("Is the text\nshort? <|im_end|>", (Message("user", "Hello"), Message("assistant", "Hi")))
    encoded = encoder.encode(Example(record, (reference,)))
    prompt = encoder.task.prompt(record, encoder.options)
    assert encoded.ids[: encoded.prompt_length] == encoder.tokenizer.encode_prompt(prompt)
    learned = encoded.ids[encoded.prompt_length :]
    assert learned[-1] == 2 and encoder.tokenizer.decode(learned[:-1]) == target
    assert encoder.task.target(reference, record, encoder.options) == target


@pytest.mark.parametrize("options", [{}, {"examples": True, "calibrate": True}])
@pytest.mark.parametrize("label", ["positive", "negative"])
def test_an_encoded_example_with_choices_is_scored_as_in_inference(
    label: str, options: dict[str, Any], tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    encoder = encoder_of("sentiment", tiny_checkpoint, tmp_path / "tokenizer", **options)
    record = Record("A fine film.")
    prompt = encoder.task.prompt(record, encoder.options)
    context, choices = encoder.tokenizer.encode_choices(prompt)
    encoded = encoder.encode(Example(record, (label,)))
    assert encoded.ids[: encoded.prompt_length] == context
    assert encoded.ids[encoded.prompt_length :] == choices[prompt.choices.index(f" {label}")]
    assert encoder.tokenizer.decode(encoded.ids) == f"{prompt.text} {label}"


def test_an_empty_prompt_begins_as_in_inference(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    encoder = encoder_of("complete", tiny_checkpoint, tmp_path / "tokenizer")
    encoded = encoder.encode(Example(Record(""), ("x",)))
    assert (encoded.ids[0], encoded.prompt_length) == (0, 1)  # the lowest end token, as the scheduler takes


def test_white_space_at_the_prompts_end_is_spelled_by_the_answer(
    tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """As in inference, where tokens are healed: the tokens are those of the text as one."""
    encoder = encoder_of("complete", tiny_checkpoint, tmp_path / "tokenizer", sentinels=False)
    encoded = encoder.encode(Example(Record("of the "), ("man",)))
    assert encoded.ids[:-1] == encoder.tokenizer.encode_text("of the man")
    assert encoded.ids[: encoded.prompt_length] == encoder.tokenizer.encode_text("of the")


def test_the_loss_is_taken_on_the_answers_alone(tiny_checkpoint: Checkpoint) -> None:
    module = load_module(tiny_checkpoint)
    rows = [([5, 6, 7, 8, 9], 3), ([10, 11], 1), ([20, 21, 22, 23, 24, 25, 26], 6)]
    batch = pad_rows(rows)
    assert batch.targets == 2 + 1 + 1
    expected = 0.0
    for ids, given in rows:
        logprobs = module(torch.tensor([ids]))[0][0].log_softmax(-1).detach()
        expected -= sum(float(logprobs[at - 1, ids[at]]) for at in range(given, len(ids)))
    loss = LossModule(module, bf16=False)(batch.input_ids, batch.labels)
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)


def test_labels_are_smoothed_in_training_alone(tiny_checkpoint: Checkpoint) -> None:
    module = load_module(tiny_checkpoint)
    batch = pad_rows([([5, 6, 7, 8, 9], 3)])
    exact, smoothed = (LossModule(module, bf16=False, label_smoothing=share) for share in (0.0, 0.1))
    plain = float(exact(batch.input_ids, batch.labels).detach())
    assert float(smoothed(batch.input_ids, batch.labels).detach()) == plain  # as it is validated
    every = module(batch.input_ids)[0][0, 2:].log_softmax(-1).mean(-1).sum().detach()
    module.train()
    found = float(smoothed(batch.input_ids, batch.labels).detach())
    assert found == pytest.approx(0.9 * plain - 0.1 * float(every), rel=1e-5)


def test_a_batch_that_teaches_nothing_has_no_loss_but_gradients(tiny_checkpoint: Checkpoint) -> None:
    """A process without a row of its own must still take part."""
    module = load_module(tiny_checkpoint)
    batch = pad_rows([([5, 6, 7], 2)])
    loss = LossModule(module, bf16=False)(batch.input_ids, torch.full_like(batch.labels, -100))
    torch.autograd.backward(loss)
    assert float(loss.detach()) == 0
    assert all(p.grad is not None and not p.grad.any() for p in module.parameters())


def test_what_is_held_out_is_not_learned() -> None:
    def example(text: str, *history: Message) -> Example:
        return Example(Record(text, history), ("yes",))

    examples = [example(f"text {i % 30}") for i in range(60)]
    settings = AdapterSettings(steps=1, heldout=0.2)
    train, heldout = split_examples(examples, settings)
    assert len(heldout) == 12 and not {e.record for e in train} & {e.record for e in heldout}
    assert split_examples(examples, settings) == (train, heldout)
    # "Why?" after another question is another example.
    turns = [example("Why?", Message("user", f"{i}"), Message("assistant", "No.")) for i in range(20)]
    train, heldout = split_examples(turns, settings)
    assert len(train) == 16 and len(heldout) == 4


def test_held_out_examples_may_be_a_file(run: Run, reviews: Path, tmp_path: Path) -> None:
    lines = reviews.read_text(encoding="utf-8").splitlines()
    header, rows = lines[0], lines[1:]
    train, heldout = (tmp_path / name for name in ("train.tsv", "heldout.tsv"))
    train.write_text("\n".join([header, *rows[:110]]) + "\n", encoding="utf-8")
    heldout.write_text("\n".join([header, *rows[100:]]) + "\n", encoding="utf-8")  # ten are in both
    given = {"heldout_data": str(heldout), "heldout_examples": 40, "scored_examples": 40}
    report = run(tmp_path / "run", train, **given)
    info = Adapter.open(tmp_path / "run" / "adapter.safetensors").info
    assert report.figures["n"] == 40
    assert [(data["name"], data["rows"]) for data in info.data] == [("train.tsv", 100)]
    train_rows = {row.split("\t")[0] for row in rows[:100]}
    assert not train_rows & {row.split("\t")[0] for row in rows[100:]}
    heldout.write_text(header + "\n" + rows[0] + "\n", encoding="utf-8")
    with pytest.raises(InputInvalidError, match=r"train.tsv or .*heldout.tsv has changed"):
        run(tmp_path / "run", None, resume=True)
    heldout.write_text(header + "\n", encoding="utf-8")
    with pytest.raises(InputInvalidError, match="has no examples"):
        run(tmp_path / "other", train, heldout_data=str(heldout))
    with pytest.raises(InputNotFoundError):
        run(tmp_path / "third", train, heldout_data=str(tmp_path / "nowhere.tsv"))


# What is refused, and that it leaves nothing in the way.


def table(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "changes, error, message, hint",
    [
        ({"targets": "query"}, OptionError, "no linear layer called 'query'", "q_proj"),
        ({"rank": 60}, OptionError, "Rank 60 is out of range", "Use 1 to"),
        (
            {"max_length": 257},
            OptionError,
            "max_length is 257, but the context of tiny-base is 256",
            "--max-length 256",
        ),
        ({"max_length": 5}, InputInvalidError, "Every example has more than 5 tokens", "--max-length"),
        ({"text_column": "body"}, InputInvalidError, "no column 'body'", "'sentence', 'label'"),
        ({"heldout_examples": 1, "heldout": 0.001}, InputInvalidError, "too few", "--heldout"),
        ({"options": {"length": "short"}}, OptionError, "no option 'length'", "examples"),
        ({"options": {"examples": "yes"}}, OptionError, "must be of type bool", None),
        ({"lr": -1.0}, OptionError, "lr is -1", None),
        ({"task": "sentimental"}, UnknownTaskError, "no task 'sentimental'", "sentiment"),
    ],
)
def test_a_mistake_is_named_and_the_same_command_works_once_it_is_fixed(
    changes: dict[str, Any], error: type[NlpsuiteError], message: str, hint: str | None,
    run: Run, reviews: Path, tmp_path: Path,
) -> None:  # fmt: skip
    with pytest.raises(error, match=message) as caught:
        run(tmp_path / "run", reviews, **{"steps": 1, **changes})
    assert hint is None or hint in caught.value.hint
    report = run(tmp_path / "run", reviews, steps=1, evaluations=1)
    assert report.result is not None and report.result.is_file()


@pytest.mark.parametrize(
    "rows, message, hint",
    [
        (["sentence\tlabel", "good\t1", "bad\tawful"], ":3: 'awful' is not a label of sentiment", "negative"),
        (["review\tstars", "good\t5"], "data.tsv has no column called label", "--reference-column"),
        (["sentence\tlabel", "good\t1"], "1 examples are too few", "--heldout"),
        (["sentence\tlabel"], "has no examples", "at least one"),
        (["sentence\tlabel", *["good\t1"] * 20], "same text", "--text-column"),
    ],
)
def test_data_that_do_not_serve(rows: list[str], message: str, hint: str, run: Run, tmp_path: Path) -> None:
    data = table(tmp_path / "data.tsv", *rows)
    with pytest.raises(InputInvalidError, match=message) as caught:
        run(tmp_path / "run", data)
    assert hint in caught.value.hint
    table(data, "sentence\tlabel", *[f"good {i}\t1" for i in range(20)])
    assert run(tmp_path / "run", data, steps=1, evaluations=1).result is not None


def test_labels_delimiters_and_encodings_as_elsewhere(run: Run, tmp_path: Path) -> None:
    rows = "".join(
        f"{word} {thing}; really|{stars}\n"
        for thing in THINGS
        for word, stars in zip(GOOD + BAD, "5555511111")
    )
    data = tmp_path / "data.csv"
    data.write_bytes(f"text|label\n{rows}".encode("utf-16"))
    given: dict[str, Any] = {"steps": 1, "evaluations": 1, "scored_examples": 0}
    with pytest.raises(InputInvalidError, match=r"data\.csv:2: '5' is not a label") as caught:
        run(tmp_path / "run", data, **given)
    assert "--label-map" in caught.value.hint
    with pytest.raises(OptionError, match="'great' is not a label"):
        run(tmp_path / "run", data, label_map="5=great", **given)
    assert (
        run(tmp_path / "run", data, label_map="5=positive,1=negative", delimiter="|", **given).result
        is not None
    )


def test_conversations_are_taught_answer_by_answer(run: Run, tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    turns = [{"role": role, "content": f"{role} %d"} for role in ("user", "assistant", "user", "assistant")]
    data.write_text("".join(json.dumps({"messages": turns}).replace("%d", str(i)) + "\n" for i in range(10)))
    report = run(tmp_path / "run", data, "chat", steps=1, evaluations=1, scored_examples=0)
    assert report.result is not None and Adapter.open(report.result).info.data[0]["rows"] == 20


def test_options_of_each_row_go_before_those_of_the_adapter(
    run: Run, phrases: Path, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    encoder = encoder_of("translate", tiny_checkpoint, tmp_path / "tokenizer", to="German")
    own = encoder.encode(Example(Record("dog"), ("chien",), options={"to": "French"}))
    prompts = [
        encoder.tokenizer.decode(encoded.ids)
        for encoded in (own, encoder.encode(Example(Record("dog"), ("Hund",))))
    ]
    assert "French:" in prompts[0] and "German:" in prompts[1]
    with pytest.raises(OptionError, match="max_tokens is 'many'"):
        encoder.encode(Example(Record("dog"), ("chien",), options={"max_tokens": "many"}))
    for column, message in (
        ("from=lang", "no column 'lang'"),  # the field is called from_
        ("to=lang", "no column 'lang'"),
        ("into=lang", "no option 'into'"),
        ("to", "'to'"),
    ):
        with pytest.raises(NlpsuiteError, match=message):
            run(tmp_path / "run", phrases, "translate", option_column=column, steps=1)


def test_a_bundle_is_no_base(run: Run, reviews: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "bundle.json").write_text("{}")
    with pytest.raises(OptionError, match="is a bundle") as caught:
        run(tmp_path / "run", reviews, base=bundle)
    assert ".gguf" in caught.value.hint
    assert not (tmp_path / "run").exists()


def test_a_recurrent_base_has_nothing_to_adapt_but_can_be_trained(
    run: Run, reviews: Path, tmp_path: Path
) -> None:
    lstm = write_tiny_checkpoint(tmp_path / "tiny-lstm", config=CONFIGS["lstm"])
    with pytest.raises(OptionError, match="no linear layers") as caught:
        run(tmp_path / "run", reviews, base=lstm)
    assert "--full" in caught.value.hint
    report = run(tmp_path / "run", reviews, base=lstm, full=True, steps=2, evaluations=1)
    assert report.result is not None and open_checkpoint(report.result).config == CONFIGS["lstm"]


def test_only_a_run_with_nothing_to_lose_is_started_again(run: Run, reviews: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    with pytest.raises(OptionError):
        run(path, reviews, targets="query")
    (path / "notes.txt").write_text("mine")
    with pytest.raises(OptionError, match="already exists"):
        run(path, reviews, steps=1)
    (path / "notes.txt").unlink()
    with RunDirectory(path, {}).locked(), pytest.raises(OptionError, match="Another process"):
        run(path, reviews, steps=1)
    with RunDirectory(path, {}).locked(), pytest.raises(OptionError, match="Another process"):
        run(path, reviews, steps=1, overwrite=True)
    assert run(path, reviews, steps=1, evaluations=1).result is not None
    with pytest.raises(OptionError, match="already exists"):
        run(path, reviews, steps=1)


def test_a_dry_run_leaves_nothing(run: Run, reviews: Path, tmp_path: Path) -> None:
    report = run(tmp_path / "run", reviews, dry_run=True)
    assert (report.outcome, report.result) == (None, None)
    assert list(tmp_path.iterdir()) == []
    [preflight] = run.recorder.preflights
    assert 0 < preflight.trainable < preflight.parameters
    for other in ("overwrite", "dry_run"):
        with pytest.raises(OptionError, match="--resume and"):
            run(tmp_path / "run", None, resume=True, **{other: True})


def test_a_run_is_resumed_as_it_was_started_or_not_at_all(run: Run, reviews: Path, tmp_path: Path) -> None:
    data = table(tmp_path / "data.tsv", *reviews.read_text().splitlines())
    run(tmp_path / "run", data, steps=1, evaluations=1)
    other = table(tmp_path / "other.tsv", "sentence\tlabel", *["good\t1"] * 20)
    with pytest.raises(OptionError, match="started with data = "):
        run(tmp_path / "run", other, resume=True)
    with pytest.raises(OptionError, match="started with base = "):
        run(tmp_path / "run", data, resume=True, base=write_tiny_checkpoint(tmp_path / "other-base"))
    with pytest.raises(OptionError, match="started with task = 'sentiment'"):
        run(tmp_path / "run", data, "chat", resume=True)
    assert run(tmp_path / "run", data, resume=True).result is not None
    assert run(tmp_path / "run", None, resume=True).result is not None
    with data.open("a") as file:
        file.write("another\t1\n")
    with pytest.raises(InputInvalidError, match="has changed since the run was started"):
        run(tmp_path / "run", None, resume=True)


def test_a_base_that_changed_meanwhile(run: Run, reviews: Path, tmp_path: Path) -> None:
    base = write_tiny_checkpoint(tmp_path / "base")
    run(tmp_path / "run", reviews, base=base, steps=1, evaluations=1)
    shutil.rmtree(base)
    write_tiny_checkpoint(base, seed=7)
    with pytest.raises(AdapterMismatchError, match="has changed since the run"):
        run(tmp_path / "run", None, resume=True)


def test_interrupted_before_training_it_says_how_to_resume(
    run: Run, reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nlpsuite.training.run_adapter.load_base", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", reviews, steps=1, evaluations=1)
    assert run.recorder.notices == [f"To resume: nlpsuite train adapter --resume -o {tmp_path / 'run'}"]
    monkeypatch.undo()
    assert run(tmp_path / "run", None, resume=True).result is not None


def test_a_run_of_an_earlier_version_is_resumed(run: Run, reviews: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    run(path, reviews, steps=4, save_steps=2, evaluations=1, license="CC0-1.0")
    before = Adapter.open(path / "adapter.safetensors")
    before_bytes = (path / "adapter.safetensors").read_bytes()
    # As version 0.1.0 wrote it: the license in another spelling, and no settings of how data are read.
    described = json.loads((path / "run.json").read_text())
    settings = described["settings"]
    for name in ("format", "encoding", "delimiter", "escape", "label_map", "option_column"):
        del settings[name]
    settings["licence"] = settings.pop("license")
    (path / "run.json").write_text(json.dumps(described))
    # And it was killed in the middle.
    shutil.rmtree(path / "checkpoints" / "step-00000004")
    shutil.rmtree(path / "best")
    for name in ("adapter.safetensors", "result.json", "curves.png"):
        (path / name).unlink()
    report = run(path, None, resume=True)
    assert report.outcome is not None and report.outcome.progress.step == 4
    after = Adapter.open(report.result)
    assert after.info == before.info and after.info.data[0]["license"] == "CC0-1.0"
    assert (path / "adapter.safetensors").read_bytes() == before_bytes


def test_settings_given_again_are_compared_with_those_of_an_earlier_version(
    run: Run, reviews: Path, tmp_path: Path
) -> None:
    path = tmp_path / "run"
    run(path, reviews, steps=1, evaluations=1)
    described = json.loads((path / "run.json").read_text())
    del described["settings"]["encoding"], described["settings"]["license"]
    described["settings"]["licence"] = "CC0-1.0"
    (path / "run.json").write_text(json.dumps(described))
    with pytest.raises(OptionError, match="started with encoding = 'utf-8', not 'latin-1'"):
        run(path, None, resume=True, encoding="latin-1")
    with pytest.raises(OptionError, match="started with license = 'CC0-1.0', not 'MIT'"):
        run(path, None, resume=True, license="MIT")
    assert run(path, None, resume=True, encoding="utf-8", license="CC0-1.0").result is not None


# Resuming, as a user does it.


def start(base: Path, reviews: Path, path: Path, *flags: str) -> subprocess.Popen[bytes]:
    settings = {
        **SETTINGS,
        "steps": 40,
        "dropout": 0.1,
        "accumulate": 2,
        "save_steps": 3,
        "batch_tokens": 256,
        "scored_examples": 12,
    }
    what = ["--task", "sentiment", "--data", str(reviews), "--model", str(base)]
    return start_training("adapter", settings, path, *what, *flags)


@pytest.mark.slow
def test_killed_it_ends_with_the_same_file(base: Path, reviews: Path, tmp_path: Path) -> None:
    undisturbed = start(base, reviews, tmp_path / "undisturbed")
    _, err = undisturbed.communicate(timeout=120)
    assert undisturbed.returncode == 0, err.decode()
    path = tmp_path / "run"
    child = start(base, reviews, path)
    wait_for((path / "checkpoints" / "step-00000009").exists, child)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert child.returncode == -signal.SIGKILL and not (path / "adapter.safetensors").exists()
    # Killed again while the finished adapter is measured.
    child = start(base, reviews, path, "--resume")
    wait_for((path / "adapter.safetensors").exists, child)
    time.sleep(0.2)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert child.returncode == -signal.SIGKILL and not (path / "result.json").exists()
    assert list(Adapter.open(path / "adapter.safetensors").info.evaluation) == ["validation_loss"]
    child = start(base, reviews, path, "--resume")
    out, err = child.communicate(timeout=120)
    assert child.returncode == 0, err.decode()
    assert out.decode() == f"{path / 'adapter.safetensors'}\n"
    files = [(p / "adapter.safetensors").read_bytes() for p in (path, tmp_path / "undisturbed")]
    assert files[0] == files[1]
    assert Adapter.open(path / "adapter.safetensors").info.evaluation["n"] == 12
    assert not list(path.glob(".incomplete-*"))
