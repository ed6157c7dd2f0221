"""List the keywords of a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from nlpsuite import Completion, GenerationOptions, Output, Prompt, Record, Sampling, Task, hookimpl, option
from nlpsuite.errors import OptionError
from nlpsuite.plugins import Columns, Part
from nlpsuite_keywords.phrases import frequent_words, listed, phrases_in

# Two texts with their keywords: a small model continues a pattern better than it follows orders.
_EXAMPLES = {
    "English": """\
Text: The bakery in Mill Street bakes its bread at night, when power is cheap. The flour comes from a local farm.
Keywords: bakery, bread, night, power, flour, local farm

Text: The city will plant two thousand trees along its main roads. The council hopes that summers will be cooler.
Keywords: city, trees, main roads, council, summers

""",
    "German": """\
Text: Die Bäckerei in der Mühlgasse backt ihr Brot nachts, wenn der Strom billig ist. Das Mehl kommt von einem Hof.
Keywords: Bäckerei, Brot, Strom, Mehl, Hof

Text: Die Stadt pflanzt zweitausend Bäume an ihre Straßen. Der Rat hofft auf kühlere Sommer.
Keywords: Stadt, Bäume, Straßen, Rat, Sommer

""",
}


@dataclass(frozen=True)
class Options(GenerationOptions):
    count: int = option(8, "most keywords to give")
    language: Literal["English", "German"] = option("English", "language of the text")

    def __post_init__(self) -> None:
        if self.count < 1:
            raise OptionError(f"count is {self.count}, must be 1 or more.")


class Keywords(Task[Options]):
    name = "keywords"
    options = Options
    long_input = "split"
    max_prompt_tokens = 1_000  # of a longer text a small model lists the beginning
    columns = Columns(text=("text", "abstract", "document"), reference=("keywords", "keyphrases", "tags"))
    metrics = ("keyword_f1", "keyword_precision", "keyword_recall")
    samples: ClassVar = (
        ("A crab learns the way through a maze and remembers it for weeks.", "crab, maze"),
        ("The village keeps its library open. A depot will be sold.", "library, depot, village"),
    )

    def prompt(self, record: Record, options: Options) -> Prompt:
        text = " ".join(record.text.split())  # a line break would end the pattern
        prompt = Prompt(
            text=f"{_EXAMPLES[options.language]}Text: {text}\nKeywords:",
            max_tokens=max(16, 8 * options.count),
            stop=("\n",),
            sampling=Sampling(repetition_penalty=1.1),
        )
        return options.apply(prompt)

    def parse(self, completion: Completion, record: Record, options: Options) -> Output:
        """Keep what occurs in the text; if nothing does, take the text's most frequent words instead."""
        found = phrases_in(record.text, listed(completion.text))
        if found:
            return _output(found[: options.count], "model")
        return _output(frequent_words(record.text, options.count, options.language), "frequency")

    def join(self, outputs: Sequence[Output], parts: Sequence[Part], options: Options) -> Output:
        """The keywords of most parts first; of as many parts, the earlier ones."""
        lists = [output.data["keywords"] for output in outputs]
        parts_with = {word: sum(word in words for words in lists) for words in lists for word in words}
        found_by = "model" if any(output.data["found_by"] == "model" for output in outputs) else "frequency"
        ranked = sorted(parts_with, key=lambda word: -parts_with[word])  # sorted keeps the order of equals
        return _output(ranked[: options.count], found_by)


def _output(keywords: Sequence[str], found_by: str) -> Output:
    return Output(", ".join(keywords), data={"keywords": list(keywords), "found_by": found_by})


@hookimpl
def nlpsuite_task() -> Keywords:
    return Keywords()
