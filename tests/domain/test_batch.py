"""The story of a batch: when each number is dialled, what the request is told, and how it ends."""

from __future__ import annotations

import pytest

from sipcore.domain.batch import (
    PATIENCE_SECONDS,
    Batch,
    BatchState,
    CallAccepted,
    CallOver,
    EndCall,
    FirstStageOver,
    NumberState,
    Pace,
    ReportBatch,
    StartCall,
    StartFailed,
    StartRefused,
)
from sipcore.domain.errors import InvalidTransitionError

QUEUED, STARTING, RINGING = NumberState.QUEUED, NumberState.STARTING, NumberState.RINGING
ANSWERED, FAILED, CANCELLED = NumberState.ANSWERED, NumberState.FAILED, NumberState.CANCELLED
FAST = Pace(None, 1000.0)


class Story:
    """A batch whose limits the test may change as it goes."""

    def __init__(self, count, pace=FAST, allowed=None):
        self.pace = pace
        self.allowed = allowed
        self.asked = []
        self.batch = Batch("b1", count, lambda: self.pace, self._allowance)

    def _allowance(self, now, outstanding):
        self.asked.append((now, outstanding))
        return 1 if self.allowed is None else self.allowed - outstanding

    def run_to(self, now):
        """Let every deadline up to this time come; return the numbers that were dialled."""
        commands = []
        while (deadline := self.batch.next_deadline()) is not None and deadline <= now:
            commands += self.batch.on_deadline(max(deadline, 0.0))
        return [command.position for command in commands if isinstance(command, StartCall)]

    def ring(self, *positions, now=0.0):
        return [command for position in positions for command in self.batch.feed(CallAccepted(position), now)]

    def fail(self, position, reason="Busy", now=0.0):
        """Let a number fail, and its call end."""
        commands = self.batch.feed(FirstStageOver(position, reason), now)
        return commands + self.batch.feed(CallOver(position), now)

    @property
    def states(self):
        return [self.batch.state_of(position)[0] for position in range(len(self.batch._numbers))]


def all_ringing(count, **more):
    story = Story(count, **more)
    story.run_to(1.0)
    story.ring(*range(count), now=1.0)
    assert story.states == [RINGING] * count
    return story


def test_the_first_number_is_dialled_at_once_and_the_others_in_order_at_the_rate():
    story = Story(3, Pace(None, 2.0))
    assert story.batch.look_again(0.0) == [StartCall(0)]
    assert story.run_to(0.5) == []
    assert story.run_to(0.52) == [1]
    assert story.run_to(10.0) == [2]
    assert story.batch.next_deadline() is None


def test_a_rate_below_one_means_one_call_in_so_many_seconds():
    story = Story(2, Pace(None, 0.1))
    assert story.run_to(9.9) == [0]
    assert story.run_to(10.3) == [1]


def test_no_more_are_in_progress_than_allowed_and_the_next_follows_the_end_of_one():
    story = Story(4, Pace(2, 1000.0))
    assert story.run_to(5.0) == [0, 1]
    story.ring(0, 1, now=5.0)
    assert story.batch.feed(FirstStageOver(0, "Busy"), 5.0) == []
    assert story.batch.feed(CallOver(0), 5.0) == [StartCall(2)]
    # Whoever talks is in progress, too.
    assert story.batch.feed(FirstStageOver(1, None), 6.0) == [ReportBatch(1, None)]
    assert story.run_to(9.0) == []
    assert story.batch.feed(CallOver(1), 9.0) == [StartCall(3)]
    assert story.batch.in_progress == 2


def test_a_limit_that_is_raised_meanwhile_counts():
    story = Story(3, Pace(1, 1000.0))
    assert story.run_to(5.0) == [0]
    story.pace = FAST
    assert story.run_to(10.0) == [1, 2]


def test_only_as_many_are_dialled_as_agents_will_be_free():
    story = Story(4, allowed=0)
    assert story.run_to(5.0) == []
    story.allowed = 2
    assert story.batch.look_again(5.0) == [StartCall(0)]
    assert story.run_to(6.0) == [1]
    story.ring(0, now=6.0)
    # One that is answered waits in the queue and is no longer told as outstanding.
    story.asked.clear()
    story.batch.feed(FirstStageOver(0, None), 6.0)
    story.batch.look_again(7.0)
    assert story.asked[-1] == (7.0, 1)


def test_ok_is_told_at_the_first_answer_and_only_once():
    story = all_ringing(3)
    assert story.fail(0) == []
    assert story.batch.feed(FirstStageOver(2, None), 2.0) == [ReportBatch(2, None)]
    assert story.batch.feed(FirstStageOver(1, None), 3.0) == []


@pytest.mark.parametrize(
    ("reasons", "position", "told"),
    [
        (("Busy", "Busy"), 0, "Busy"),
        (("Unreachable", "Not connected"), 1, "Not connected"),
        (("Not connected", "Busy"), 1, "Busy"),
        (("Busy", "No answer"), 1, "No answer"),
        (("Unreachable", "Unreachable"), 0, "Unreachable"),
    ],
)
def test_fail_is_told_when_all_have_failed_with_the_reason_that_was_nearest_to_an_answer(reasons, position, told):
    story = all_ringing(2)
    assert story.fail(0, reasons[0]) == []
    assert story.fail(1, reasons[1])[0] == ReportBatch(position, told)
    assert [story.batch.state_of(number) for number in range(2)] == [(FAILED, reason) for reason in reasons]


def test_a_batch_is_finished_when_the_last_call_is_over():
    story = all_ringing(2)
    story.fail(0)
    story.batch.feed(FirstStageOver(1, None), 2.0)
    assert (story.batch.state, story.batch.ended) == (BatchState.RUNNING, False)
    story.batch.feed(CallOver(1), 60.0)
    assert (story.batch.state, story.batch.ended) == (BatchState.FINISHED, True)


def test_a_cancelled_batch_dials_nothing_more_hangs_up_what_rings_and_leaves_those_who_talk():
    story = Story(4, Pace(3, 1000.0))
    story.run_to(1.0)
    story.ring(0, 1, 2, now=1.0)
    story.batch.feed(FirstStageOver(0, None), 2.0)
    assert story.batch.cancel("request", 3.0) == [EndCall(1), EndCall(2)]
    assert story.states == [ANSWERED, RINGING, RINGING, CANCELLED]
    assert story.batch.next_deadline() is None
    story.fail(1, "Unreachable", now=3.0)
    story.fail(2, "Unreachable", now=3.0)
    assert [story.batch.state_of(number) for number in (1, 2, 3)] == [(CANCELLED, None)] * 3
    assert not story.batch.ended
    story.batch.feed(CallOver(0), 100.0)
    assert story.batch.ended
    assert (story.batch.state, story.batch.cancelled_by) == (BatchState.CANCELLED, "request")


def test_whoever_answers_while_the_batch_is_cancelled_was_answered():
    story = all_ringing(1)
    story.batch.cancel("request", 2.0)
    assert story.batch.feed(FirstStageOver(0, None), 2.0) == [ReportBatch(0, None)]
    assert story.states == [ANSWERED]


def test_a_call_that_is_accepted_after_the_cancellation_is_hung_up():
    story = Story(1)
    story.run_to(0.0)
    assert story.batch.cancel("request", 0.1) == []
    assert story.batch.feed(CallAccepted(0), 0.2) == [EndCall(0)]
    assert story.fail(0, "Unreachable")[0] == ReportBatch(0, "Unreachable")


def test_a_start_that_is_refused_after_the_cancellation_is_not_tried_again():
    story = Story(1)
    story.run_to(0.0)
    story.batch.cancel("request", 0.1)
    assert story.batch.feed(StartRefused(0, 1.0), 0.2) == [ReportBatch(0, "Unreachable")]
    assert story.batch.ended


def test_the_first_cancellation_counts():
    story = all_ringing(1)
    story.batch.cancel("request", 2.0)
    assert story.batch.cancel("shutdown", 3.0) == []
    assert story.batch.cancelled_by == "request"


def test_a_finished_batch_cannot_be_cancelled():
    story = all_ringing(1)
    story.fail(0)
    assert story.batch.cancel("request", 2.0) == []
    assert (story.batch.state, story.batch.cancelled_by) == (BatchState.FINISHED, None)


def test_a_number_that_finds_no_room_is_dialled_again_first_after_the_time_that_was_told():
    story = Story(2)
    assert story.run_to(0.0) == [0]
    story.batch.feed(StartRefused(0, 5.0), 0.0)
    assert story.states == [QUEUED, QUEUED]
    assert story.run_to(4.9) == []
    assert story.run_to(5.0) == [0]


def test_the_end_of_an_own_call_makes_room_sooner():
    story = Story(3)
    story.run_to(0.002)
    story.ring(0, now=0.002)
    story.batch.feed(StartRefused(1, 5.0), 0.002)
    story.batch.feed(FirstStageOver(0, "Busy"), 1.0)
    assert story.batch.feed(CallOver(0), 1.0) == [StartCall(1)]


def test_a_batch_that_finds_no_room_for_a_long_time_is_given_up():
    story = Story(2)
    now, dialled = 0.0, story.run_to(0.0)
    while dialled:
        commands = story.batch.feed(StartRefused(0, 60.0), now)
        now += 60.0
        dialled = story.run_to(now)
    assert now == PATIENCE_SECONDS + 60.0
    assert commands == [ReportBatch(0, "Unreachable")]
    assert (story.states, story.batch.cancelled_by) == ([CANCELLED, CANCELLED], "limit")
    assert story.batch.ended


def test_a_batch_whose_own_calls_take_the_room_is_not_given_up():
    story = Story(2)
    story.run_to(0.002)
    story.ring(0, now=0.002)
    for now in (10.0, PATIENCE_SECONDS + 20.0, 2 * PATIENCE_SECONDS + 20.0):
        story.batch.feed(StartRefused(1, 5.0), now)
        assert story.run_to(now + 5.0) == [1]
    assert story.batch.cancelled_by is None


def test_patience_begins_anew_when_a_number_could_be_dialled():
    story = Story(2)
    story.run_to(0.0)
    story.batch.feed(StartRefused(0, 1.0), 0.0)
    story.run_to(1.0)
    story.ring(0, now=1.0)
    assert story.fail(0, now=PATIENCE_SECONDS)[-1] == StartCall(1)
    assert story.batch.feed(StartRefused(1, 1.0), PATIENCE_SECONDS + 1.0) == []
    assert story.run_to(PATIENCE_SECONDS + 2.0) == [1]


def test_a_number_that_cannot_be_dialled_any_more_is_passed_over():
    story = Story(2)
    story.run_to(0.002)
    story.batch.feed(StartFailed(0), 0.002)
    story.ring(1, now=0.002)
    assert story.fail(1, "Busy")[0] == ReportBatch(1, "Busy")
    assert story.states == [CANCELLED, FAILED]


def test_a_call_that_is_over_before_its_first_stage_is_our_own_mistake():
    story = all_ringing(1)
    with pytest.raises(InvalidTransitionError, match="batch b1"):
        story.batch.feed(CallOver(0), 2.0)
