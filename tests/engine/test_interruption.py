"""An interrupt ends the command at once, or at the next stage where Python dropped it."""

from __future__ import annotations

import os
import signal

import pytest

from sfm.workspace import interruption
from sfm.workspace.interruption import interruptible


class Careless:
    """Its destructor is where the signal arrives; Python prints what is raised there and goes on."""

    def __init__(self, number: signal.Signals) -> None:
        self.number = number

    def __del__(self) -> None:
        os.kill(os.getpid(), self.number)
        sum(range(1000))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_block(number: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt), interruptible():
        os.kill(os.getpid(), number)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_dropped_signal_is_raised_at_the_next_check(number: signal.Signals) -> None:
    with interruptible():
        Careless(number)

        with pytest.raises(KeyboardInterrupt):
            interruption.check()


def test_nothing_is_raised_without_a_signal_nor_after_the_block() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interruptible():
        os.kill(os.getpid(), signal.SIGINT)

    interruption.check()
    with interruptible():
        interruption.check()

    assert signal.getsignal(signal.SIGINT) is before


def test_the_first_signal_is_answered_at_once_and_only_once() -> None:
    answers: list[str] = []

    with interruptible(lambda: answers.append("stopping")):
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)

    assert answers == ["stopping"]
