"""Help pages: headings, sentences, and nothing cut off."""

from __future__ import annotations

import re

import click
import pytest

from nlpsuite.cli import cli as commands
from nlpsuite.cli.help import GroupedCommand, HelpGroup, grouped


def help_of(command: click.Command, width: int = 80) -> str:
    return command.get_help(click.Context(command, info_name="x", terminal_width=width))


def option(name: str, text: str) -> click.Option:
    return click.Option([name], help=text)


def test_options_are_under_their_headings() -> None:
    params = [
        option("--plain", "Nothing."),
        *grouped("Input", [option("--text", "A text.")]),
        *grouped("Model", [option("--model", "A model.")]),
        *grouped("Input", [option("--encoding", "An encoding.")]),
    ]
    text = help_of(GroupedCommand("x", params=params))
    order = ["Input:", "--text", "--encoding", "Model:", "--model", "Other options:", "--plain", "--help"]
    assert [text.index(word) for word in order] == sorted(text.index(word) for word in order)
    assert text.count("Input:") == 1


def test_without_headings_it_is_a_usual_page() -> None:
    params = [option("--text", "A text.")]
    assert help_of(GroupedCommand("x", params=params)) == help_of(click.Command("x", params=params))


def test_summaries_of_commands_are_whole() -> None:
    group = HelpGroup("x")
    summary = "Print " + "very " * 30 + "much."
    group.add_command(click.Command("long", help=f"{summary}\n\nMore about it."))
    group.add_command(click.Command("secret", help="Nobody sees it.", hidden=True))
    text = " ".join(help_of(group).split())
    assert summary in text
    assert "More about it" not in text and "Nobody" not in text


SENTENCE = re.compile(r"[A-Z`].*[.)]", re.S)


def options_of(command: click.Command) -> list[click.Option]:
    return [param for param in command.params if isinstance(param, click.Option)]


def pages(command: click.Command, context: click.Context) -> list[tuple[str, click.Command, str]]:
    found = [(context.command_path, command, command.get_help(context))]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            found += pages(below, click.Context(below, context, name, terminal_width=80))
    return found


@pytest.fixture(scope="module")
def all_pages() -> list[tuple[str, click.Command, str]]:
    return pages(
        commands,
        click.Context(commands, info_name="nlpsuite", terminal_width=80, **commands.context_settings),
    )


def test_nothing_is_cut_off(all_pages) -> None:
    for path, _, text in all_pages:
        for line in text.splitlines():
            assert line.startswith("Usage:") or not line.endswith("..."), f"{path}: {line}"


def test_options_are_grouped(all_pages) -> None:
    """A page with more options than fit on a glance has headings."""
    long = {path: text for path, command, text in all_pages if len(options_of(command)) > 15}
    assert "nlpsuite run summarize" in long and "nlpsuite train lm" in long
    for path, text in long.items():
        headings = re.findall(r"^(\w[\w, ]+):$", text, re.M)
        assert len(headings) > 2 and headings[-1] == "Other options", f"{path}: {headings}"
        assert text.rpartition("Other options:")[2].count("--") <= 2, path  # --help, and perhaps --json


def test_headings_of_run(all_pages) -> None:
    [text] = [text for path, _, text in all_pages if path == "nlpsuite run summarize"]
    headings = re.findall(r"^(\w[\w ]+):$", text, re.M)
    assert headings == ["Task options", "Generation", "Input", "Prompt", "Model", "Output", "Other options"]


def test_help_texts_are_sentences(all_pages) -> None:
    wrong = {
        f"{path} {option.opts[0]}": option.help
        for path, command, _ in all_pages
        for option in options_of(command)
        if not SENTENCE.fullmatch(re.sub(r"\s+\[default: .*\]$", "", option.help or ""))
    }
    assert not wrong


def test_every_command_has_a_summary(all_pages) -> None:
    wrong = {path: command.help for path, command, _ in all_pages if not SENTENCE.match(command.help or "")}
    assert not wrong
