"""What a fleet will cost: what is due now, and what a month of it sends, beside its budgets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from metav_audit.watch.asking import Opened
from metav_audit.watch.budgets import MILLIONTHS, Spent, month_of, spent_in
from metav_audit.watch.database import open_history
from metav_audit.watch.enrolment import Plan
from metav_audit.watch.fleet import Budget, Fleet
from metav_audit.watch.history import standings
from metav_audit.watch.hours import span_words
from metav_audit.watch.request_logs import left_behind

_MONTH_S = 365.25 / 12 * 86400


@dataclass(frozen=True, slots=True)
class Planned:
    """What an endpoint will be asked.

    Attributes:
        endpoint: its name.
        bundle: the bundle's.
        url: where it is asked.
        every: seconds between two audits.
        due: when the next is due, in seconds since 1970.
        due_now: whether that is now.
        requests: of one audit without retries.
        requests_at_most: with them.
        price: of a request.
        audits_a_month: on average.
    """

    endpoint: str
    bundle: str
    url: str
    every: float
    due: float
    due_now: bool
    requests: int
    requests_at_most: int
    price: float
    audits_a_month: float


@dataclass(frozen=True, slots=True)
class Month:
    """What a month sends of a budget.

    Attributes:
        scope: "fleet", "host:NAME" or "bundle:NAME".
        requests: without retries, on average.
        requests_at_most: with them.
        cost: of the former.
        cost_at_most: of the latter.
        budget_requests: what may be sent; None for no limit.
        budget_cost: what may be spent; None for no limit.
        spent_requests: sent since this month began, or put by.
        spent_cost: of these.
    """

    scope: str
    requests: float
    requests_at_most: float
    cost: float
    cost_at_most: float
    budget_requests: int | None
    budget_cost: float | None
    spent_requests: int
    spent_cost: float

    @property
    def fits(self) -> bool:
        """Whether the budget pays for a month without retries."""
        return (self.budget_requests is None or self.requests <= self.budget_requests) and (
            self.budget_cost is None or self.cost <= self.budget_cost
        )


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a fleet will send.

    Attributes:
        planned: one an endpoint and bundle.
        month: the fleet's, each host's and each bundle's.
        outdated: why a bundle should be made anew, by its name.
    """

    planned: tuple[Planned, ...]
    month: tuple[Month, ...]
    outdated: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Describe it in JSON types."""
        return {
            "planned": [asdict(each) for each in self.planned],
            "month": [{**asdict(each), "fits": each.fits} for each in self.month],
            "outdated": dict(self.outdated),
        }


def outlook(fleet: Fleet, opened: Opened, now: float) -> Outlook:
    """Say what is due, and what a month costs; a history that is not there yet is not made.

    Args:
        fleet: the fleet file.
        opened: its bundles and endpoints.
        now: seconds since 1970.

    Raises:
        RemoteError: the history is there and cannot be reached.
    """
    slots: dict[tuple[str, str], tuple[float, int]] = {}
    spent: dict[str, Spent] = {}
    if "://" in fleet.file.database or fleet.place(fleet.file.database).exists():
        with open_history(fleet.file.database, fleet.path.parent, fleet=fleet.name) as history:
            for each in standings(history):
                slots[each.endpoint, each.bundle] = each.slot, each.number
            with history.reading() as connection:
                spent = {each.scope: each for each in spent_in(connection, month_of(now))}
    planned = tuple(_planned(plan, slots.get((plan.endpoint, plan.bundle)), now) for plan in opened.plans)
    scopes = sorted(
        {scope for plan in opened.plans for scope in plan.budgets}, key=lambda each: (each != "fleet", each)
    )
    nothing = Spent("", "", 0, 0)
    months = tuple(_month(scope, opened.plans, spent.get(scope, nothing)) for scope in scopes)
    return Outlook(planned, months, {**opened.outdated, **left_behind(opened.logs)})


def _planned(plan: Plan, held: tuple[float, int] | None, now: float) -> Planned:
    due = now
    if held is not None:
        due = plan.rhythm.due_at(plan.rhythm.settled(held[0], now), plan.key, held[1] + 1)
    return Planned(
        plan.endpoint, plan.bundle, plan.url, plan.rhythm.every, due, due <= now + plan.rhythm.slack, plan.needed,
        plan.ceiling, plan.price / MILLIONTHS, _MONTH_S / plan.rhythm.every,
    )  # fmt: skip


def _month(scope: str, plans: tuple[Plan, ...], spent: Spent) -> Month:
    mine = [(plan, _MONTH_S / plan.rhythm.every) for plan in plans if scope in plan.budgets]
    budget: Budget = next((plan.budgets[scope] for plan, _ in mine), Budget())
    return Month(
        scope,
        sum(times * plan.usual for plan, times in mine),
        sum(times * plan.ceiling for plan, times in mine),
        sum(times * plan.usual * plan.price for plan, times in mine) / MILLIONTHS,
        sum(times * plan.ceiling * plan.price for plan, times in mine) / MILLIONTHS,
        budget.requests,
        budget.cost,
        spent.requests,
        spent.cost / MILLIONTHS,
    )


def outlook_lines(found: Outlook) -> Iterator[str]:
    """Put an outlook into lines."""
    for name, why in found.outdated.items():
        yield f"{name} is outdated: {why}"
    for each in found.planned:
        moment = datetime.fromtimestamp(each.due, UTC).strftime("%Y-%m-%d %H:%M")
        when = "due now" if each.due_now else f"due {moment} UTC"
        cost = f", cost {each.requests * each.price:g}" if each.price else ""
        yield (
            f"{each.endpoint} ({each.bundle}): every {span_words(each.every)}, {when}; an audit sends {each.requests} "
            f"requests, {each.requests_at_most} at most{cost}"
        )
    for month in found.month:
        cost = f", cost {month.cost:.4g}, {month.cost_at_most:.4g} at most" if month.cost else ""
        limits = [f"{month.budget_requests} requests"] if month.budget_requests is not None else []
        limits += [f"cost {month.budget_cost:g}"] if month.budget_cost is not None else []
        budget = f"; budget {', '.join(limits)}{'' if month.fits else ': TOO SMALL'}" if limits else ""
        spent = f"; this month {month.spent_requests} so far" if month.spent_requests else ""
        sent = f"{month.requests:.0f} requests, {month.requests_at_most:.0f} at most"
        yield f"a month, {month.scope}: {sent}{cost}{budget}{spent}"
    yield "nothing was sent"
