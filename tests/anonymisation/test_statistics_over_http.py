"""Statistics, budgets and pseudonyms as a calling service and a person at a terminal meet them."""

from __future__ import annotations

import json

import httpx
import pytest
from typer.testing import CliRunner

from cli.main import app
from privacy.client import PrivacyClient
from privacy.errors import BudgetExhausted, Invalid, NotInPurpose
from tests.anonymisation.told import member, tell
from tests.server import Threaded
from tests.world import World


def test_the_client_asks_for_statistics_and_sees_its_budget(world: World, served: Threaded) -> None:
    tell(world)
    member(world)
    with PrivacyClient(served.url, world.keys["analyst"]) as privacy:
        count = privacy.ask_statistic("count", purpose="statistics", type="member", rho=0.01, contributions=1)
        assert isinstance(count.value, int)
        assert count.interval is not None
        again = privacy.ask_statistic("count", purpose="statistics", type="member", rho=0.01, contributions=1)
        assert (again.repeated, again.value) == (True, count.value)
        cells = privacy.ask_statistic(
            "histogram", purpose="statistics", type="member", rho=0.02, contributions=1, field="joined_at",
            edges=["2025-01-01", "2026-01-01", "2027-01-01"],
        ).cells  # fmt: skip
        assert [(cell.lower, cell.upper) for cell in cells] == [
            ("2025-01-01", "2026-01-01"), ("2026-01-01", "2027-01-01"), (None, None)
        ]  # fmt: skip
        median = privacy.ask_statistic(
            "quantile", purpose="statistics", type="member", rho=0.02, contributions=1, field="stars",
            candidates=[1, 2, 3, 4, 5], rank=0.5,
        )  # fmt: skip
        assert median.value in (1, 2, 3, 4, 5)
        whole, own = privacy.privacy_budgets()
        assert (whole.analyst, own.analyst, own.answered, own.spent) == ("*", "analyst", 3, 0.05)
        with pytest.raises(BudgetExhausted):
            privacy.ask_statistic("count", purpose="statistics", type="member", rho=0.5, contributions=1)
        with pytest.raises(Invalid):
            privacy.ask_statistic("sum", purpose="statistics", type="member", rho=0.01, contributions=1, field="stars")
        with pytest.raises(NotInPurpose):
            privacy.ask_statistic(
                "histogram", purpose="statistics", type="member", rho=0.01, contributions=1, field="name", keys=["x"]
            )


def test_a_refusal_is_said_in_the_language_of_who_asks(world: World, served: Threaded) -> None:
    tell(world)
    asked = {"statistic": "count", "purpose": "statistics", "type": "member", "rho": 50, "contributions": 1}
    headers = {"Authorization": f"Bearer {world.keys['analyst']}", "Accept-Language": "zh-CN"}
    problem = httpx.post(f"{served.url}/v1/statistics", json=asked, headers=headers).json()
    assert (problem["code"], problem["title"]) == ("budget-exhausted", "隐私预算不足以回答该问题")
    assert "隐私预算" in problem["detail"]


def test_the_client_is_given_pseudonyms(world: World, served: Threaded) -> None:
    subject_id = world.subject()
    world.consent(subject_id)
    with PrivacyClient(served.url, world.keys["platform"]) as privacy:
        found = privacy.pseudonym(subject_id, purpose="marketing", recipient="sms-gateway")
    assert (found.recipient, found.label["zh"]) == ("sms-gateway", "去标识化")


def test_the_command_line_asks_and_shows_budgets(
    world: World, served: Threaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(world)
    member(world)
    settings = world.service.settings
    for name, value in {
        "PRIVACY_URL": served.url,
        "PRIVACY_KEY": world.keys["analyst"],
        "PRIVACY_HOME": str(settings.home),
        "PRIVACY_DATABASE_URL": settings.database_url,
        "PRIVACY_KEYSTORE_URL": settings.keystore_url,
    }.items():
        monkeypatch.setenv(name, value)

    def run(*words: str) -> str:
        done = CliRunner().invoke(app, ["statistics", *words])
        assert done.exit_code == 0, done.output
        return done.output

    asked = ("ask", "histogram", "member", "--purpose", "statistics", "--rho", "0.01", "--field", "city")
    found = json.loads(run(*asked, "--keys", "杭州,北京", "--json"))
    assert [cell["key"] for cell in found["cells"]] == ["北京", "杭州", None]
    assert "其余" in run(*asked, "--keys", "北京,杭州", "--clamp")
    asked = ("ask", "mean", "member", "--purpose", "statistics", "--rho", "0.01", "--field", "joined_at")
    assert "95%" in run(*asked, "--bounds", "2020-01-01,2027-01-01")
    (budget, _) = json.loads(run("budgets", "--json"))["items"]
    assert (budget["lineage"], budget["answered"]) == ("member", 2)
    assert "all together" in run("budgets")
    assert "histogram" in run("budgets", "--questions", "member")
