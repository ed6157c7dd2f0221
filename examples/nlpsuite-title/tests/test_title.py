"""No test here needs a model: EchoModel says what a model might, and the adapter's file is only read."""

from nlpsuite_title import Title

from nlpsuite.models.adapter import Adapter
from nlpsuite.models.sources import DEFAULT_MODEL
from nlpsuite.tasks.adapters import own_adapter
from nlpsuite.tasks.pipeline import Pipeline
from nlpsuite.testing import EchoModel, TaskConformance


class TestConformance(TaskConformance):
    task = "title"


def test_a_title_is_one_line() -> None:
    model = EchoModel([" The Ferry, and what came of it\nMore"])
    assert Pipeline(Title(), model)("The ferry\nleft at six.").text == "The Ferry"
    assert model.prompts[0].messages[1].content.startswith("The ferry left at six.\n\n")


def test_the_adapter_is_of_the_default_model_and_says_where_it_comes_from() -> None:
    path = own_adapter(Title())
    assert path is not None and path.stat().st_size < 1_000_000
    info = Adapter.open(path).info
    assert (info.task, info.base, info.license) == ("title", DEFAULT_MODEL.name, "Apache-2.0")
    assert [(entry["rows"], entry["license"]) for entry in info.data] == [(1895, "Apache-2.0")]
    assert info.evaluation["n"] == 40
