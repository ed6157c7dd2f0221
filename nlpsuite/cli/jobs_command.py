"""``nlpsuite jobs``: look after jobs of ``nlpsuite score``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nlpsuite.cli.help import HelpGroup
from nlpsuite.cli.output import print_json
from nlpsuite.cli.score_command import engine_flags

__all__ = ["command"]

_JOB = click.Path(path_type=Path)


@click.group(cls=HelpGroup)
def command() -> None:
    """List, resume, verify or remove jobs of `score`.

    \b
    nlpsuite jobs list
    nlpsuite jobs resume scored.job
    nlpsuite jobs verify scored.job
    """


@command.command("list")
@click.argument("directory", type=_JOB, default=".")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_jobs(directory: Path, as_json: bool) -> None:
    """List the jobs in DIRECTORY."""
    from nlpsuite.batch.manage import list_jobs
    from nlpsuite.batch.run import pluralize

    jobs = list_jobs(directory)
    if as_json:
        print_json(jobs)
    elif not jobs:
        click.echo(f"There are no jobs in {directory}.", err=True)
    for job in [] if as_json else jobs:
        click.echo(
            f"{job['path']}  {job['task']}  {job['state']}  {pluralize(job['rows'], 'row')} of {job['input']}"
        )


@command.command("show")
@click.argument("job", type=_JOB)
def show(job: Path) -> None:
    """Print what JOB is and how its last run ended, as JSON."""
    from nlpsuite.batch.manage import describe

    print_json(describe(job))


@command.command("resume", params=[*engine_flags(begun=True)])
@click.argument("job", type=_JOB)
@click.option("--max-errors", metavar="N|P%", help="End the job when more rows fail.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON on stdout.")
@click.option("--quiet", "-q", is_flag=True, help="No progress on stderr.")
@click.pass_context
def resume_job(
    ctx: click.Context, /, job: Path, ray_address: str, as_json: bool, quiet: bool, **given: Any
) -> int:
    """Go on with JOB. Its input is not needed."""
    from nlpsuite.batch.score import resume
    from nlpsuite.cli.score import drive

    asked = {**given, "address": ray_address}
    # What the command line doesn't say stays as the job was begun.
    changed = {name: value for name, value in asked.items() if value and not _is_default(ctx, name)}
    return drive(
        lambda reporter: resume(job, reporter, **changed),
        as_json=as_json,
        quiet=quiet,
        again=f"nlpsuite jobs resume {job}",
    )


def _is_default(ctx: click.Context, name: str) -> bool:
    parameter = "ray_address" if name == "address" else name
    return ctx.get_parameter_source(parameter) == click.core.ParameterSource.DEFAULT


@command.command("verify")
@click.argument("job", type=_JOB)
def verify(job: Path) -> int:
    """Read all that JOB has kept, and compare its result with it."""
    from nlpsuite.batch.manage import verify

    problems = verify(job)
    for problem in problems:
        click.echo(problem, err=True)
    if not problems:
        click.echo(f"{job} is whole.")
    return 65 if problems else 0


@command.command("rm")
@click.argument("jobs", type=_JOB, nargs=-1, required=True)
def remove(jobs: tuple[Path, ...]) -> None:
    """Remove JOBS. Their results stay."""
    from nlpsuite.batch.manage import remove_job

    for job in jobs:
        remove_job(job)
        click.echo(f"Removed {job}.", err=True)
