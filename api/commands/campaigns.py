"""`click2call campaigns`: lists of numbers that are dialled within their calling hours."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Final

import typer

from api.campaign_models import Campaign, CampaignNumber, RefusedLine, UploadReport
from api.client import Client, ClientError
from api.commands.connection import connected
from api.commands.console import JsonOption, err, out, show

app = typer.Typer(no_args_is_help=True, help="Campaigns.")

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Of the campaign.")]
ListArgument = Annotated[str, typer.Argument(metavar="FILE", help="CSV, or JSON lines (.jsonl); - is standard input.")]
LimitOption = Annotated[int, typer.Option(min=1, help="Print no more than so many.")]
JsonLinesOption = Annotated[bool, typer.Option("--jsonl", help="The list is JSON lines, whatever its name.")]

_CHUNK_BYTES: Final = 1 << 16

_COLUMNS: Final[dict[str, Callable[[Campaign], object]]] = {
    "ID": lambda campaign: campaign.id,
    "NAME": lambda campaign: campaign.name,
    "STATE": lambda campaign: campaign.state,
    "DIAL2": lambda campaign: campaign.dial2,
    "NUMBERS": lambda campaign: campaign.numbers,
    "COUNTS": lambda campaign: ", ".join(f"{count} {state}" for state, count in campaign.counts.items() if count),
}
_NUMBER_COLUMNS: Final[dict[str, Callable[[CampaignNumber], object]]] = {
    "NUMBER": lambda number: number.number,
    "REFERENCE": lambda number: number.reference,
    "STATE": lambda number: number.state,
    "OUTCOME": lambda number: number.outcome,
    "ATTEMPTS": lambda number: len(number.attempts),
    "NEXT": lambda number: number.next_at,
}
_REFUSED_COLUMNS: Final[dict[str, Callable[[RefusedLine], object]]] = {
    "LINE": lambda refused: refused.line,
    "TEXT": lambda refused: refused.text,
    "REASON": lambda refused: refused.reason,
}


@app.command("list")
@connected
def list_campaigns(client: Client, *, limit: LimitOption = 50, as_json: JsonOption = False) -> None:
    """Print the campaigns, newest first."""
    show(islice(client.campaigns(), limit), _COLUMNS, as_json=as_json)


@app.command("show")
@connected
def show_campaign(client: Client, campaign_id: IdArgument, *, as_json: JsonOption = False) -> None:
    """Print a campaign, and how many of its numbers stand how."""
    show([client.campaign(campaign_id)], _COLUMNS, as_json=as_json)


@app.command()
@connected
def create(  # noqa: PLR0913 - each is an option of the command line
    client: Client,
    name: Annotated[str, typer.Argument(help="For people.")],
    dial2: Annotated[str, typer.Argument(help="What those who answer reach: a message, IVR, queue or app.")],
    *,
    set_cid: Annotated[str | None, typer.Option(help="Caller identity to show.")] = None,
    ring_seconds: Annotated[int | None, typer.Option(help="How long a number may ring.")] = None,
    hours: Annotated[
        list[str] | None,
        typer.Option(metavar="[COUNTRY=]HOURS", help='"mon-fri 09:00-20:00", or "FR=mon-fri 10:00-13:00".'),
    ] = None,
    concurrency: Annotated[int | None, typer.Option(help="Calls at once.")] = None,
    calls_per_second: Annotated[float | None, typer.Option(help="Calls begun in a second.")] = None,
    retry: Annotated[
        list[str] | None, typer.Option(metavar="OUTCOME=RETRIES:SECONDS", help="For example busy=3:300.")
    ] = None,
    max_attempts: Annotated[int | None, typer.Option(help="Of one number, for whatever reasons.")] = None,
) -> None:
    """Make a campaign, and print its id; numbers are added, and it is started, after that."""
    wanted = {
        "name": name,
        "dial2": dial2,
        "set_cid": set_cid,
        "ring_seconds": ring_seconds,
        "hours": dict(map(_hours, hours)) if hours else None,
        "concurrency": concurrency,
        "calls_per_second": calls_per_second,
        "retries": dict(map(_retry, retry)) if retry else None,
        "max_attempts": max_attempts,
    }
    given = {name: value for name, value in wanted.items() if value is not None}
    out.print(client.make_campaign(given).id)


@app.command()
@connected
def add(client: Client, campaign_id: IdArgument, file: ListArgument, *, jsonl: JsonLinesOption = False) -> None:
    """Add a list of numbers; tell how many were accepted, and on the standard error which were not."""
    with opened(file) as chunks:
        tell(client.add_numbers(campaign_id, chunks, media_of(file, jsonl=jsonl)))


@app.command()
@connected
def start(client: Client, campaign_id: IdArgument) -> None:
    """Begin to dial."""
    show([client.change_campaign(campaign_id, "start")], _COLUMNS, as_json=False)


@app.command()
@connected
def pause(client: Client, campaign_id: IdArgument) -> None:
    """Dial no further number until it is resumed; calls go on."""
    show([client.change_campaign(campaign_id, "pause")], _COLUMNS, as_json=False)


@app.command()
@connected
def resume(client: Client, campaign_id: IdArgument) -> None:
    """Go on with a paused campaign."""
    show([client.change_campaign(campaign_id, "resume")], _COLUMNS, as_json=False)


@app.command()
@connected
def stop(client: Client, campaign_id: IdArgument) -> None:
    """Dial nothing more, ever, and hang up what rings."""
    show([client.change_campaign(campaign_id, "stop")], _COLUMNS, as_json=False)


@app.command()
@connected
def numbers(
    client: Client,
    campaign_id: IdArgument,
    *,
    state: Annotated[str | None, typer.Option(help="Only those that stand so.")] = None,
    limit: LimitOption = 1000,
    as_json: JsonOption = False,
) -> None:
    """Print the numbers of a campaign."""
    show(islice(client.campaign_numbers(campaign_id, state), limit), _NUMBER_COLUMNS, as_json=as_json)


@app.command()
@connected
def refusals(
    client: Client, campaign_id: IdArgument, *, limit: LimitOption = 1000, as_json: JsonOption = False
) -> None:
    """Print the lines of a campaign's lists that were not accepted, and why."""
    show(islice(client.refused_lines(campaign_id), limit), _REFUSED_COLUMNS, as_json=as_json)


@app.command()
@connected
def results(client: Client, campaign_id: IdArgument) -> None:
    """Write what became of each number, as CSV, to the standard output."""
    with client.campaign_results(campaign_id) as chunks:
        sys.stdout.buffer.writelines(chunks)


@contextmanager
def opened(file: str) -> Iterator[Iterator[bytes]]:
    """Open a list, to be read piece by piece.

    Raises:
        ClientError: it cannot be opened.
    """
    if file == "-":
        yield iter(lambda: sys.stdin.buffer.read(_CHUNK_BYTES), b"")
        return
    try:
        stream = Path(file).open("rb")  # noqa: SIM115 - it is one, a few lines below
    except OSError as error:
        raise ClientError(f"{file}: {error.strerror or error}") from error
    with stream:
        yield iter(lambda: stream.read(_CHUNK_BYTES), b"")


def media_of(file: str, *, jsonl: bool) -> str:
    """Tell the type of a list, by its name unless it is told."""
    return "application/jsonl" if jsonl or Path(file).suffix.lower() in {".jsonl", ".ndjson"} else "text/csv"


def tell(report: UploadReport) -> None:
    """Print what became of a list."""
    for refused in report.refusals:
        err.print(f"line {refused.line}: {refused.reason}: {refused.text}")
    if report.refused > len(report.refusals):
        err.print(f"and {report.refused - len(report.refusals)} lines more")
    out.print(f"{report.accepted} accepted, {report.refused} refused")


def _hours(given: str) -> tuple[str, str]:
    country, equals, text = given.rpartition("=")
    return (country if equals else "default"), text


def _retry(given: str) -> tuple[str, dict[str, int]]:
    outcome, _, rule = given.partition("=")
    retries, _, seconds = rule.partition(":")
    if not (retries.isdecimal() and seconds.isdecimal()):
        raise typer.BadParameter(f"{given}: give an outcome, retries and seconds, for example busy=3:300")
    return outcome, {"retries": int(retries), "after": int(seconds)}
