"""Find a title for a text."""

from nlpsuite import GenerationOptions, Message, Prompt, Record, Sampling, Task, hookimpl
from nlpsuite.plugins import Columns


class Title(Task[GenerationOptions]):
    name = "title"
    options = GenerationOptions
    long_input = "split"
    merging = "map_reduce"  # the title of a long text is the title of its parts' titles
    max_prompt_tokens = 1_000
    streams = True
    columns = Columns(text=("text", "document", "article"), reference=("title", "headline"))
    adapter = "title.safetensors"

    def prompt(self, record: Record, options: GenerationOptions) -> Prompt:
        request = "Write a headline of at most eight words for this text."
        prompt = Prompt(
            messages=(
                Message("system", "You write headlines."),
                Message("user", f"{' '.join(record.text.split())}\n\n{request}"),
            ),
            max_tokens=24,
            # With the adapter the model knows where to end; another one goes on and on.
            stop=("\n", ", ", ". "),
            sampling=Sampling(repetition_penalty=1.05, copy_bias=2.0),
        )
        return options.apply(prompt)


@hookimpl
def nlpsuite_task() -> Title:
    return Title()
