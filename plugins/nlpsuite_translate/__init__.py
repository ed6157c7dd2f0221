"""Translate a text (experimental: the default model knows little but English)."""

from __future__ import annotations

from dataclasses import dataclass

from nlpsuite import GenerationOptions, Message, Prompt, Record, Sampling, Task, hookimpl, option


@dataclass(frozen=True)
class Options(GenerationOptions):
    to: str = option("German", "language to translate into, by its English name")
    from_: str = option("English", "language of the text, by its English name")


class Translate(Task[Options]):
    name = "translate"
    options = Options
    long_input = "split"
    merging = "join"
    max_prompt_tokens = 300  # about a paragraph; longer ones drift off the text
    streams = True

    def prompt(self, record: Record, options: Options) -> Prompt:
        text = record.text.strip()
        prompt = Prompt(
            messages=(
                Message(
                    "system",
                    f"You translate from {options.from_} to {options.to}. Answer with the translation only.",
                ),
                Message("user", f"{options.from_}: {text}\n{options.to}:"),
            ),
            # Translations are about as long as their source; a token is at least a character.
            max_tokens=min(400, 24 + len(text)),
            sampling=Sampling(repetition_penalty=1.1),
        )
        return options.apply(prompt)


@hookimpl
def nlpsuite_task() -> Translate:
    return Translate()
