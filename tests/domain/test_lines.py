"""Which lines are in a call, since when they are idle, and who holds them."""

from __future__ import annotations

from sipcore.domain.lines import LineBoard

LINE = ("acme", "101")


def board(wrap_up: float = 10) -> LineBoard:
    lines = LineBoard()
    lines.follow({LINE: wrap_up})
    return lines


def test_a_line_is_busy_until_the_last_of_its_legs_is_over() -> None:
    lines = board()
    lines.busy(LINE, 1)
    lines.busy(LINE, 2)
    lines.free(LINE, 3, talked=True)
    assert lines.is_busy(LINE)
    assert lines.busy_since(LINE) == 1
    lines.free(LINE, 4, talked=True)
    assert not lines.is_busy(LINE)
    assert lines.busy_since(LINE) is None


def test_the_same_number_of_another_organisation_is_another_line() -> None:
    lines = board()
    lines.busy(LINE, 1)
    assert not lines.is_busy(("other", "101"))


def test_wrap_up_begins_with_the_end_of_a_call() -> None:
    lines = board(wrap_up=10)
    assert lines.free_at(LINE) is None
    lines.busy(LINE, 1)
    lines.free(LINE, 5, talked=True)
    assert (lines.idle_since(LINE), lines.free_at(LINE)) == (5, 15)


def test_a_leg_that_only_rang_changes_nobodys_idle_time() -> None:
    lines = board()
    lines.remember(LINE, -40)
    lines.busy(LINE, 1)
    lines.free(LINE, 20, talked=False)
    assert lines.idle_since(LINE) == -40


def test_a_line_is_let_go_of_by_its_holder_alone() -> None:
    lines = board()
    lines.hold(LINE, "ticket-1")
    lines.release(LINE, "ticket-2")
    assert lines.is_held(LINE)
    lines.release(LINE, "ticket-1")
    assert not lines.is_held(LINE)


def test_nothing_is_kept_of_lines_that_nobody_hunts() -> None:
    lines = board()
    customer = ("acme", "+12025550123")
    lines.busy(customer, 1)
    lines.free(customer, 9, talked=True)
    lines.remember(customer, 9)
    lines.hold(customer, "ticket-1")
    lines.release(customer, "ticket-1")
    assert lines.idle_since(customer) is None
    assert customer not in lines._states


def test_a_line_that_is_not_followed_any_more_is_forgotten() -> None:
    lines = board()
    lines.remember(LINE, 3)
    lines.follow({})
    assert LINE not in lines._states
