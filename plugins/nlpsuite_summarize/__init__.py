"""Summarize a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from nlpsuite import GenerationOptions, Message, Prompt, Record, Sampling, Task, hookimpl, option
from nlpsuite.plugins import Columns

# Tokens after which a summary stops at the next sentence end, and the most it may take.
_LENGTHS = {"short": (12, 60), "medium": (45, 140), "long": (110, 280)}
_SIZES = {"short": "one sentence", "medium": "two or three sentences", "long": "a detailed paragraph"}


@dataclass(frozen=True)
class Options(GenerationOptions):
    length: Literal["short", "medium", "long"] = option("medium", "how long the summary is")
    style: Literal["paragraph", "bullets"] = option("paragraph", "running text or a list of points")
    plain: bool = option(False, "ask without a conversation around the text, as an adapted model is asked")


class Summarize(Task[Options]):
    name = "summarize"
    options = Options
    long_input = "split"
    merging = "map_reduce"
    max_prompt_tokens = 2_000  # a small model loses the thread of longer texts
    streams = True
    # How long a summary is and when it ends is in the data that an adapter learns from.
    adapter_options: ClassVar = {"plain": True, "length": "long"}
    columns = Columns(
        text=("text", "document", "source", "article"), reference=("summary", "target", "highlights")
    )
    metrics = ("rouge_l", "chrf")

    def prompt(self, record: Record, options: Options) -> Prompt:
        enough, most = _LENGTHS[options.length]
        bullets = options.style == "bullets"
        form = "as a list of short bullet points" if bullets else f"in {_SIZES[options.length]}"
        # One paragraph in, one paragraph out: a copied passage would bring its line breaks along.
        text = " ".join(record.text.split())
        if options.plain:
            plain = Prompt(
                text=f"Text: {text}\nSummary:",
                prefill=" -" if bullets else "",
                max_tokens=most,
                sentence_end_after=enough,
                stop=("\n\n",) if bullets else ("\n",),
            )
            return options.apply(plain)
        prompt = Prompt(
            messages=(
                Message("system", "You write short, faithful summaries. Use only facts from the text."),
                Message("user", f"Summarize the following text {form}.\n\nText:\n{text}"),
            ),
            prefill="-" if bullets else "",
            max_tokens=most,
            sentence_end_after=enough,
            # Without the bias this model invents numbers and names (see dev/LOG.md).
            sampling=Sampling(repetition_penalty=1.05, copy_bias=3.0),
        )
        return options.apply(prompt)

    def target(self, reference: str, record: Record, options: Options) -> str:
        if options.plain and options.style == "paragraph":
            reference = " ".join(reference.split())
        return super().target(reference, record, options)


@hookimpl
def nlpsuite_task() -> Summarize:
    return Summarize()
