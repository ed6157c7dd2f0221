"""Print the shell completion script."""

from __future__ import annotations

import click

__all__ = ["command"]


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash: nlpsuite completion bash > ~/.local/share/bash-completion/completions/nlpsuite
    zsh:  nlpsuite completion zsh > "${fpath[1]}/_nlpsuite"
    fish: nlpsuite completion fish > ~/.config/fish/completions/nlpsuite.fish
    """
    from click.shell_completion import get_completion_class

    from nlpsuite.cli import cli

    completion = get_completion_class(shell)
    assert completion is not None
    click.echo(completion(cli, {}, "nlpsuite", "_NLPSUITE_COMPLETE").source())
