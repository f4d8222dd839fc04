"""`click2call queues`: who waits, and who takes calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Final

import typer

from api.client import Client
from api.commands.connection import connected
from api.commands.console import JsonOption, show
from api.models import Agent, Queue

app = typer.Typer(no_args_is_help=True, help="Queues and their agents.")

QueueArgument = Annotated[str, typer.Argument(help="Number of the queue.")]
AgentArgument = Annotated[str, typer.Argument(help="Number of the agent.")]

_COLUMNS: Final[dict[str, Callable[[Queue], object]]] = {
    "NUMBER": lambda queue: queue.number,
    "STRATEGY": lambda queue: queue.strategy,
    "WAITING": lambda queue: queue.waiting,
    "SINCE": lambda queue: queue.waiting_since,
    "AGENTS": lambda queue: _agents(queue.agents),
}
_AGENT_COLUMNS: Final[dict[str, Callable[[Agent], object]]] = {
    "AGENT": lambda agent: agent.number,
    "STATE": lambda agent: agent.state,
    "SINCE": lambda agent: agent.since,
}


@app.command("list")
@connected
def list_queues(client: Client, *, as_json: JsonOption = False) -> None:
    """Print all queues, by number: who waits, since when the longest, and how agents stand."""
    show(client.queues(), _COLUMNS, as_json=as_json)


@app.command()
@connected
def pause(client: Client, queue: QueueArgument, agent: AgentArgument) -> None:
    """Offer an agent of a queue no more callers."""
    show([client.pause_agent(queue, agent)], _AGENT_COLUMNS, as_json=False)


@app.command()
@connected
def resume(client: Client, queue: QueueArgument, agent: AgentArgument) -> None:
    """Offer a paused agent callers again."""
    show([client.resume_agent(queue, agent)], _AGENT_COLUMNS, as_json=False)


def _agents(agents: Iterable[Agent]) -> str:
    return ", ".join(f"{agent.number} {agent.state}" for agent in agents)
