"""When an epoch ends, and what may be promised of it: dates over the fakes, with a clock that tests move."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.adapters.memory import MemoryKeys, MemoryKeyStore
from sottovoce.errors import KeyUnavailable
from sottovoce.model.keys import EpochAges, EpochRow
from sottovoce.usecases.keyring import Keyring, NewKey

BEGAN = datetime(2026, 1, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclass
class HandClock:
    """A clock that tests move."""

    at: datetime = BEGAN

    def now(self) -> datetime:
        return self.at

    def monotonic_s(self) -> float:
        return self.at.timestamp()

    def since_boot(self) -> tuple[str, float]:
        return "boot", self.at.timestamp()


class WaitingKeys(MemoryKeys):
    """A provider that may bring a destroyed key back for a week, as cloud services do."""

    def destruction_wait(self) -> timedelta:
        return timedelta(days=7)


class StubbornKeys(MemoryKeys):
    """A provider that refuses to destroy while `stubborn`."""

    stubborn = True

    def destroy(self, epoch: int) -> None:
        if self.stubborn:
            raise KeyUnavailable("The key provider does not answer.", reason="provider_down")
        super().destroy(epoch)


def ring(
    days: int, clock: HandClock | None = None, provider: MemoryKeys | None = None,
    stores: tuple[MemoryKeyStore, MemoryKeyStore] | None = None,
) -> Keyring:  # fmt: skip
    long_lived, short_lived = stores or (MemoryKeyStore(), MemoryKeyStore())
    made = Keyring(
        provider=provider or MemoryKeys(), long_lived=long_lived, short_lived=short_lived,
        random_bytes=os.urandom, clock=clock or HandClock(), epoch_days=days,
    )  # fmt: skip
    made.set_up()
    return made


# --- the rules ------------------------------------------------------------------------------------------------


times = st.integers(0, 20 * 365 * 86_400).map(
    lambda s: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=s)
)
some_days = st.integers(0, 365)


@given(times, some_days, some_days)
def test_M15_a_promised_end_is_never_moved_back_by_a_later_setting(
    began: datetime, then: int, now: int
) -> None:
    """Whatever is set later, a key epoch ends no later than was promised when it began."""
    promised = EpochAges(then).promise(began)
    row = EpochRow(1, b"", True, began, promised)
    end = EpochAges(now).end(row)
    lengths = [days for days in (then, now) if days]
    assert end == (began + timedelta(days=min(lengths)) if lengths else None)
    if promised is not None:
        assert end <= promised
        assert not EpochAges(now).is_overdue(row, promised - timedelta(microseconds=1))
        assert EpochAges(now).is_overdue(row, promised)


@given(times, st.integers(1, 365), st.floats(0, 2))
def test_M15_an_epoch_is_due_early_enough_for_one_sweep_a_day(
    began: datetime, days: int, share: float
) -> None:
    """A sweep ends a key epoch up to a day before its promised end, so that one sweep a day keeps the promise."""
    ages = EpochAges(days)
    row = EpochRow(1, b"", True, began, ages.promise(began))
    now = began + share * timedelta(days=days)
    due_at = ages.due_at(row)
    assert due_at is not None
    assert ages.is_due(row, now) is (now >= due_at)
    lead = began + timedelta(days=days) - due_at
    assert lead == min(DAY, timedelta(days=days) / 10)
    if ages.is_overdue(row, now):
        assert ages.is_due(row, now)


def test_M15_an_epoch_that_began_under_a_clock_set_far_ahead_is_due_at_once() -> None:
    """A wrong clock cannot put the end of a key epoch off: once it is right again, the epoch is ended."""
    ages = EpochAges(30)
    ahead = BEGAN + timedelta(days=4000)
    row = EpochRow(1, b"", True, ahead, ages.promise(ahead))
    assert ages.is_due(row, BEGAN)
    assert not ages.is_due(row, ahead - timedelta(hours=23))
    assert not EpochAges(0).is_due(EpochRow(1, b"", True, ahead), BEGAN)


# --- what may be promised -------------------------------------------------------------------------------------


def test_M15_C11e_the_guaranteed_date_is_the_end_of_the_epoch_and_the_providers_own_waiting_time() -> None:
    """The day is named after which no copy of the key store opens what was erased, the provider's wait included."""
    promise = ring(30).destroyed_by(BEGAN + 3 * DAY)
    assert promise.date == BEGAN + 30 * DAY
    assert promise.words.startswith(
        "2026-02-01 at the latest, when epoch 1 ends (a sweep has to run by then)"
    )
    assert promise.words.endswith(MemoryKeys().describe()["destruction"])
    assert ring(30, provider=WaitingKeys()).destroyed_by(BEGAN).date == BEGAN + 37 * DAY


def test_M15_without_rotation_by_age_no_date_is_named() -> None:
    """Where no setting enforces an end, the words say "until you rotate" and name no date."""
    promise = ring(0).destroyed_by(BEGAN)
    assert promise.date is None
    assert promise.words.startswith("you rotate (`sottovoce keys rotate`)")
    assert "2026" not in promise.words


def test_M15_an_epoch_without_a_promised_end_gets_none_afterwards() -> None:
    """A key epoch from before ages were set is ended when it is old enough, but no date is named for it."""
    stores = (MemoryKeyStore(), MemoryKeyStore())
    provider, clock = MemoryKeys(), HandClock()
    ring(0, clock, provider, stores)
    later = ring(30, clock, provider, stores)
    assert later.destroyed_by(BEGAN).date is None
    assert not later.epoch_age(BEGAN + 28 * DAY).due
    assert later.epoch_age(BEGAN + 29 * DAY).due
    assert later.rotate_due(BEGAN + 29 * DAY) is not None
    assert later.destroyed_by(BEGAN + 29 * DAY).date == BEGAN + 59 * DAY


def test_M15_switching_rotation_off_keeps_what_was_promised() -> None:
    """Who switches rotation by age off still keeps the date that receipts have named."""
    stores = (MemoryKeyStore(), MemoryKeyStore())
    provider = MemoryKeys()
    ring(30, None, provider, stores)
    off = ring(0, None, provider, stores)
    assert off.destroyed_by(BEGAN).date == BEGAN + 30 * DAY
    assert off.epoch_age(BEGAN + 29 * DAY).due
    off.rotate_due(BEGAN + 29 * DAY)
    assert off.destroyed_by(BEGAN + 29 * DAY).date is None
    longer = ring(300, None, provider, stores)
    assert longer.destroyed_by(BEGAN + 29 * DAY).date is None


def test_M15_a_passed_end_is_an_alarm_and_no_date() -> None:
    """When an epoch outlives its promised end, no further date is promised before it is ended."""
    keyring = ring(30)
    late = BEGAN + 30 * DAY
    assert keyring.epoch_age(late).overdue
    assert not keyring.epoch_age(late - timedelta(seconds=1)).overdue
    promise = keyring.destroyed_by(late)
    assert promise.date is None
    assert "late" in promise.words
    keyring.rotate_due(late)
    assert not keyring.epoch_age(late).overdue
    assert keyring.destroyed_by(late).date == late + 30 * DAY


def test_M15_no_date_while_the_key_of_an_ended_epoch_is_not_destroyed() -> None:
    """While the provider has not destroyed the key of an ended epoch, no date is promised; then it is again."""
    provider = StubbornKeys()
    keyring = ring(30, provider=provider)
    with pytest.raises(KeyUnavailable):
        keyring.rotate(at=BEGAN)
    assert keyring.is_rotation_pending()
    promise = keyring.destroyed_by(BEGAN)
    assert promise.date is None
    assert "not certain" in promise.words
    provider.stubborn = False
    keyring.resume_rotation()
    assert provider.epochs() == (2,)
    assert keyring.destroyed_by(BEGAN).date == BEGAN + 30 * DAY


def test_F16_a_provider_that_is_down_takes_the_date_and_never_the_answer() -> None:
    """While the key provider is down an erasure still gets its answer: without a date that nobody can vouch for."""
    provider = MemoryKeys()
    keyring = ring(30, provider=provider)
    provider.available = False
    assert keyring.destroyed_by(BEGAN).date is None
    assert keyring.epoch_age(BEGAN + 31 * DAY).overdue, "the alarm needs no provider"
    provider.available = True
    assert keyring.destroyed_by(BEGAN).date is not None


def test_M15_during_a_rotation_the_later_end_is_named() -> None:
    """What is erased while a rotation runs gets the date of the newer epoch, under which a copy may stand already."""
    keyring = ring(30)

    def stop(step: str) -> None:
        if step == "epoch_begun:long_lived":
            raise KeyUnavailable("stop")

    with pytest.raises(KeyUnavailable):
        keyring.rotate(at=BEGAN + 10 * DAY, step=stop)
    assert keyring.destroyed_by(BEGAN + 10 * DAY).date == BEGAN + 40 * DAY
    assert keyring.destroyed_by(BEGAN + 30 * DAY).date is None, "the older one has outlived its end"


# --- ending what is due ---------------------------------------------------------------------------------------


def test_M14_an_epoch_is_ended_by_its_age_and_not_before() -> None:
    """The epoch of the keys is ended when its age is due, once, and not a day earlier."""
    keyring = ring(30)
    keyring.make_subject("sub_1")
    key = keyring.new_key(NewKey("record", "features", "sub_1", "r1"))
    assert keyring.rotate_due(BEGAN + 29 * DAY - timedelta(seconds=1)) is None
    report = keyring.rotate_due(BEGAN + 29 * DAY)
    assert report is not None
    assert (report.before, report.after) == (1, 2)
    assert keyring.rotate_due(BEGAN + 29 * DAY) is None
    assert keyring.open_key("r1") == key
    assert [row.ends_by for row in keyring.long_lived.epochs()] == [BEGAN + 59 * DAY]


def test_M14_of_two_sweepers_that_find_one_epoch_due_one_ends_it() -> None:
    """Two sweeps at once end a key epoch once."""
    stores, provider = (MemoryKeyStore(), MemoryKeyStore()), MemoryKeys()
    first, second = (ring(30, None, provider, stores) for _ in range(2))
    now = BEGAN + 30 * DAY
    assert first.epoch_age(now).due
    assert second.epoch_age(now).due
    assert first.rotate_due(now) is not None
    assert second.rotate_due(now) is None
    assert provider.epochs() == (2,)


def test_a_rotation_is_counted_small_without_reading_more_than_that() -> None:
    keyring = ring(30)
    keyring.make_subject("sub_1")
    rows = len(list(keyring.rows()))
    assert keyring.is_rotation_small(rows)
    assert not keyring.is_rotation_small(rows - 1)
    assert not keyring.is_rotation_small(0)


CALLS = ("create", "wrap", "unwrap", "destroy", "epochs")


class Failing:
    """A provider that fails at one call of one kind, before it does anything or after it has."""

    def __init__(self, inner: MemoryKeys, name: str, at: int, *, after: bool) -> None:
        self.inner, self.name, self.at, self.after, self.calls = inner, name, at, after, 0

    def __getattr__(self, name: str) -> Callable[..., object]:
        real = getattr(self.inner, name)
        if name != self.name:
            return real

        def call(*arguments: object) -> object:
            self.calls += 1
            if self.calls != self.at:
                return real(*arguments)
            if self.after:
                real(*arguments)
            raise KeyUnavailable("The key provider does not answer.", reason="provider_down")

        return call


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("name", CALLS)
def test_F29_F16_a_provider_that_fails_at_any_call_of_a_rotation_loses_no_key(name: str, after: bool) -> None:
    """Whichever call of a rotation the key provider fails at, no key is lost, and the next attempt finishes it."""
    failures = 0
    for at in range(1, 20):
        stores, provider = (MemoryKeyStore(), MemoryKeyStore()), MemoryKeys()
        keyring = ring(30, None, provider, stores)
        keyring.make_subject("sub_1")
        keys = keyring.new_keys([NewKey("record", "features", "sub_1", f"r{n}") for n in range(5)])
        failing = Failing(provider, name, at, after=after)
        unlucky = Keyring(
            provider=failing, long_lived=stores[0], short_lived=stores[1],  # type: ignore[arg-type]
            random_bytes=os.urandom, clock=HandClock(), epoch_days=30,
        )  # fmt: skip
        try:
            unlucky.rotate()
        except KeyUnavailable:
            failures += 1
        else:
            break
        assert unlucky.open_keys(list(keys)) == keys
        again = ring(30, None, provider, stores)
        again.rotate()
        assert again.open_keys(list(keys)) == keys
        assert len(provider.epochs()) == 1
        assert {row.epoch for row in again.rows()} == set(provider.epochs())
        assert not again.is_rotation_pending()
    assert failures >= 1, "the fault was met"
    assert at == failures + 1, "every call was tried"
