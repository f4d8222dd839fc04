"""`click2call schedules`: future calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Annotated, Final

import typer

from api.client import Client
from api.commands.connection import connected
from api.commands.console import JsonOption, out, show
from api.parameters import apart
from api.schedule_models import Schedule, ScheduleReport
from sipcore.service.calls import DEFAULT_RING_SECONDS

app = typer.Typer(no_args_is_help=True, help="Future calls.")

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Of the future call.")]
LimitOption = Annotated[int, typer.Option(min=1, help="Print no more than so many.")]

_DATE: Final = typer.Option(help="YYYYMMDDhhmm in your time zone, or RFC 3339.")
_RETRIES: Final = typer.Option(help="Attempts after the first.")
_RETRY_SECONDS: Final = typer.Option(help="From the end of an attempt to the next.")
_RING_SECONDS: Final = typer.Option(help="How long destination 1 may ring.")

_COLUMNS: Final[dict[str, Callable[[Schedule], object]]] = {
    "ID": lambda schedule: schedule.id,
    "STATE": lambda schedule: schedule.state,
    "DIAL1": lambda schedule: schedule.dial1 + (f" +{schedule.numbers - 1}" if schedule.numbers > 1 else ""),
    "DIAL2": lambda schedule: schedule.dial2,
    "DATE": lambda schedule: schedule.date,
    "NEXT": lambda schedule: schedule.next_at,
    "RETRIES": lambda schedule: f"{schedule.retries} after {schedule.retry_seconds} s",
}


@app.command("list")
@connected
def list_schedules(client: Client, *, limit: LimitOption = 50, as_json: JsonOption = False) -> None:
    """Print the future calls, newest first."""
    show(islice(client.schedules(), limit), _COLUMNS, as_json=as_json)


@app.command("show")
@connected
def show_schedule(client: Client, schedule_id: IdArgument, *, as_json: JsonOption = False) -> None:
    """Print a future call, its numbers and their attempts."""
    _print(client.schedule(schedule_id), as_json=as_json)


@app.command()
@connected
def create(  # noqa: PLR0913 - each is an option of the command line
    client: Client,
    dial1: Annotated[str, typer.Argument(help="Destination 1, which rings first; several: 101,102.")],
    dial2: Annotated[str, typer.Argument(help="Destination 2, dialled when destination 1 has answered.")],
    *,
    date: Annotated[str, _DATE],
    retries: Annotated[int, _RETRIES] = 0,
    retry_seconds: Annotated[int, _RETRY_SECONDS] = 60,
    set_cid: Annotated[str | None, typer.Option(help="Caller identity to show.")] = None,
    ring_seconds: Annotated[int, _RING_SECONDS] = DEFAULT_RING_SECONDS,
    as_json: JsonOption = False,
) -> None:
    """Have a call made at a date; print its id, and how it stands."""
    wanted = {
        "dial1": apart(dial1),
        "dial2": dial2,
        "date": date,
        "retries": retries,
        "retry_seconds": retry_seconds,
        "set_cid": set_cid,
        "ring_seconds": ring_seconds,
    }
    _print(client.make_schedule(wanted), as_json=as_json)


@app.command()
@connected
def cancel(client: Client, schedule_id: IdArgument, *, as_json: JsonOption = False) -> None:
    """Dial nothing more of a future call; one that is over stays as it is."""
    _print(client.cancel_schedule(schedule_id), as_json=as_json)


@app.command()
@connected
def change(  # noqa: PLR0913 - each is an option of the command line
    client: Client,
    schedule_id: IdArgument,
    *,
    date: Annotated[str | None, _DATE] = None,
    retries: Annotated[int | None, _RETRIES] = None,
    retry_seconds: Annotated[int | None, _RETRY_SECONDS] = None,
    dial1: Annotated[list[str] | None, typer.Option(help="Destination 1; more than one may be given.")] = None,
    dial2: Annotated[str | None, typer.Option(help="Destination 2.")] = None,
    set_cid: Annotated[str | None, typer.Option(help="Caller identity to show; empty: none any more.")] = None,
    ring_seconds: Annotated[int | None, _RING_SECONDS] = None,
    as_json: JsonOption = False,
) -> None:
    """Change a future call that is pending; what is not given stays."""
    changes = {
        "date": date,
        "retries": retries,
        "retry_seconds": retry_seconds,
        "dial1": dial1 or None,
        "dial2": dial2,
        "set_cid": set_cid,
        "ring_seconds": ring_seconds,
    }
    given = {name: value for name, value in changes.items() if value is not None}
    if not given:
        raise typer.BadParameter("say what is to be changed")
    _print(client.change_schedule(schedule_id, given), as_json=as_json)


def _print(report: ScheduleReport, *, as_json: bool) -> None:
    if as_json:
        show([report], {}, as_json=True)
        return
    for line in _lines(report):
        out.print(line)


def _lines(report: ScheduleReport) -> Iterator[str]:
    retries = f"up to {report.retries} retries after {report.retry_seconds} s"
    yield f"{report.id}: {report.state}, to {report.dial2} at {report.date}, {retries}"
    for number in report.results:
        more = number.reason or (number.next_at and f"until {number.next_at}")
        yield f"{number.number}: {number.status}" + (f" ({more})" if more else "")
        for attempt in number.attempts:
            outcome = attempt.outcome or "in progress"
            yield f"  attempt {attempt.number} at {attempt.begun_at}: {outcome} (record {attempt.record_id})"
