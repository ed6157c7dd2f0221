"""No test here needs a model: EchoModel says what a model might, and the adapter's file is only read."""

import json
from pathlib import Path

import nlpsuite_title
from nlpsuite_title import Title
from safetensors import safe_open

from nlpsuite.testing import EchoModel, Pipeline, TaskConformance


class TestConformance(TaskConformance):
    task = "title"


def test_a_title_is_one_line() -> None:
    model = EchoModel([" The Ferry, and what came of it\nMore"])
    assert Pipeline(Title(), model)("The ferry\nleft at six.").text == "The Ferry"
    assert model.prompts[0].messages[1].content.startswith("The ferry left at six.\n\n")


def test_the_adapter_is_for_the_default_model_and_names_its_data() -> None:
    path = Path(nlpsuite_title.__file__).with_name(Title.adapter)
    assert path.stat().st_size < 1_000_000
    with safe_open(path, "numpy") as file:
        about = json.loads(file.metadata()["nlpsuite_adapter"])
    assert (about["task"], about["base"]) == ("title", "SmolLM2-135M-Instruct")
    [data] = about["data"]
    assert data["rows"] == 1895 and "Apache-2.0" in data.values() and "Apache-2.0" in about.values()
    assert about["evaluation"]["n"] == 40
