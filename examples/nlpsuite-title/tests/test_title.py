from nlpsuite_title import Title

from nlpsuite.tasks.pipeline import Pipeline
from nlpsuite.testing import EchoModel, TaskConformance


class TestConformance(TaskConformance):
    task = "title"


def test_a_title_is_one_line() -> None:
    model = EchoModel([" The Ferry, and what came of it\nMore"])
    assert Pipeline(Title(), model)("The ferry\nleft at six.").text == "The Ferry"
    assert model.prompts[0].messages[1].content.startswith("The ferry left at six.\n\n")
