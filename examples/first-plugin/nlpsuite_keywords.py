"""List the keywords of a text."""

from nlpsuite import GenerationOptions, Message, Prompt, Record, Task, hookimpl


class Keywords(Task[GenerationOptions]):
    name = "keywords"
    options = GenerationOptions
    long_input = "split"

    def prompt(self, record: Record, options: GenerationOptions) -> Prompt:
        request = Message("user", f"List the keywords of this text:\n\n{record.text}")
        return options.apply(Prompt(messages=(request,), max_tokens=64))


@hookimpl
def nlpsuite_task() -> Keywords:
    return Keywords()
