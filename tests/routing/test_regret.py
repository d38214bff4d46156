"""What ``auto`` costs while it learns: simulated worlds, compared with the best that could have been done in them.

A world has models whose speed drifts, which go down for a while, and whose prices change. Everything random comes from
a seed, time is counted and not waited for, and only ``World`` knows the truth: the ranking sees the ledger's part.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from statistics import fmean
from typing import NamedTuple

import msgspec

from sidecar.routing import recommend as rec
from sidecar.routing.auto_order import auto_order
from sidecar.routing.recommend import ModelOption
from sidecar.routing.track_record import Evidence, Observation, TrackRecord

MINUTE = 60_000
NOW = 1_767_268_800_000

MODELS = (
    ModelOption(provider="google", name="gemini-2.5-flash", reads_images=True, usd_per_million=(0.3, 2.5)),
    ModelOption(provider="anthropic", name="claude-sonnet-4-20250514", reads_images=True, usd_per_million=(3.0, 15.0)),
    ModelOption(provider="openai", name="gpt-4.1", reads_images=True, usd_per_million=(2.0, 8.0)),
)
"""The app's own, in its order."""


class Model:
    """The truth about one model."""

    def __init__(self, option: ModelOption, seconds: float) -> None:
        self.option = option
        self.seconds = seconds
        """To an answer of 500 tokens."""
        self.down_until = 0
        self.price = 1.0

    def offered(self) -> ModelOption:
        """As the catalogue shows it now, at the price of now."""
        prompt, answer = self.option.usd_per_million or (0.0, 0.0)
        return msgspec.structs.replace(self.option, usd_per_million=(prompt * self.price, answer * self.price))

    def worth(self, now: int) -> float:
        """What asking it now is worth on average: the ranking's own measure, with the true figures."""
        up = 0.0 if now < self.down_until else 0.99
        tokens_per_second = 500 / (self.seconds * 0.8)
        known = Evidence(1e9 * up, 1e9 * (1 - up), self.seconds * 200, tokens_per_second)
        worth = rec.utility(self.offered(), known)
        return worth if up else worth - rec.W_SPEED / (1 + self.seconds / rec.USUAL_SECONDS)  # nobody is served fast


class World:
    """Models, and the requests of a user: one every few minutes."""

    def __init__(self, seed: int, seconds: tuple[float, ...], *, changes: bool) -> None:
        self.fate, self.luck = random.Random(seed), random.Random(seed + 1000)
        self.models = [Model(option, each) for option, each in zip(MODELS, seconds, strict=True)]
        self.changes = changes
        self.now = NOW

    def step(self) -> None:
        self.now += self.fate.randrange(1, 10) * MINUTE
        for model in self.models if self.changes else ():
            model.seconds = min(60.0, max(2.0, model.seconds * self.fate.lognormvariate(0, 0.04)))
            if self.fate.random() < 0.002:
                model.down_until = self.now + self.fate.randrange(10, 90) * MINUTE
            if self.fate.random() < 0.0005:
                model.price = self.fate.choice([0.3, 1.0, 4.0])

    def ask(self, model: Model) -> Observation:
        option = model.option
        if self.now < model.down_until or self.luck.random() > 0.99:
            return Observation(option.provider, option.name, self.now, "error", "MODEL_UNAVAILABLE", None, 300.0, None)
        seconds = model.seconds * self.luck.lognormvariate(0, 0.2)
        return Observation(option.provider, option.name, self.now, "ok", None, seconds * 200, seconds * 1000, 500)


class Played(NamedTuple):
    """What each request was worth: as asked, on each model by itself, and on the best one of that moment."""

    got: list[float]
    alone: list[list[float]]
    best: list[float]
    asked: list[int]
    """Which model was asked, by its place in the app's order."""

    def regret(self, first: int = 0, last: int | None = None) -> float:
        """A request's mean loss against knowing at each one which model is best."""
        return fmean(self.best[first:last]) - fmean(self.got[first:last])

    def regret_in_hindsight(self) -> float:
        """A request's mean loss against the single model that was the best over all of them."""
        return max(map(fmean, self.alone)) - fmean(self.got)


def play(world: World, requests: int, meddle: Callable[[World, int], None] = lambda _world, _number: None) -> Played:
    record = TrackRecord()
    played = Played([], [[] for _ in world.models], [], [])
    for number in range(requests):
        world.step()
        meddle(world, number)
        offered = [model.offered() for model in world.models]
        order = auto_order(offered, lambda provider, name: record.evidence(provider, name, world.now))
        index = offered.index(order[0].option)
        worth = [model.worth(world.now) for model in world.models]
        played.got.append(worth[index])
        played.best.append(max(worth))
        played.asked.append(index)
        for mine, each in zip(played.alone, worth, strict=True):
            mine.append(each)
        record.observe(world.ask(world.models[index]))
    return played


def test_regret_is_small_where_speeds_drift_models_go_down_and_prices_change() -> None:
    starts = random.Random(7)
    plays = [play(World(seed, tuple(starts.uniform(3, 25) for _ in MODELS), changes=True), 800) for seed in range(12)]
    first = fmean(fmean(each.alone[0]) for each in plays)
    got = fmean(fmean(each.got) for each in plays)
    assert got > first + 0.01, "it must beat always asking the app's first model"
    assert fmean(each.regret_in_hindsight() for each in plays) < 0.0, "and the best single model, known only afterwards"
    assert max(each.regret_in_hindsight() for each in plays) < 0.005
    assert fmean(each.regret() for each in plays) < 0.015, "and come near to knowing at each request what nobody knows"


def test_what_is_learnt_stays_learnt_where_nothing_changes() -> None:
    plays = [play(World(seed, (30.0, 14.0, 4.0), changes=False), 600) for seed in range(8)]
    early = fmean(each.regret(last=100) for each in plays)
    late = fmean(each.regret(first=400) for each in plays)
    assert early < 0.02, "the fastest model stands last in the app's order, and is found all the same"
    assert late < early / 5


def test_in_an_outage_most_requests_go_elsewhere_and_afterwards_they_come_back() -> None:
    def outage(world: World, number: int) -> None:
        if number == 100:
            world.models[0].down_until = world.now + 120 * MINUTE

    for seed in range(5):
        world = World(seed, (5.0, 8.0, 8.0), changes=False)
        played = play(world, 300, outage)
        down = [place for place, worth in zip(played.asked, played.alone[0], strict=True) if worth < 0.5]
        assert 15 < len(down) < 40
        assert down.count(0) < len(down) / 2, "a good past does not outweigh a bad present"
        assert played.asked[200:] == [0] * 100


def test_a_price_that_rises_sends_the_requests_elsewhere() -> None:
    def rise(world: World, number: int) -> None:
        if number == 100:
            world.models[0].price = 40.0

    played = play(World(1, (8.0, 8.0, 8.0), changes=False), 300, rise)
    assert played.asked[:100].count(0) > 95
    assert played.asked[120:].count(0) == 0


def test_the_same_world_is_played_the_same_way() -> None:
    once, again = (play(World(3, (20.0, 9.0, 6.0), changes=True), 200) for _ in range(2))
    assert once == again
