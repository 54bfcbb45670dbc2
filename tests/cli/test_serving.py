"""The service as processes: started, used from outside, killed, ended."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from tests.cli.people_seen import values_of
from tests.server import http

ROOT: Final = Path(__file__).resolve().parents[2]
EXAMPLE: Final = ROOT / "examples" / "operations" / "manifest.yaml"
SECONDS: Final = 60.0
SUBJECTS: Final = 40


@dataclass(frozen=True)
class Place:
    """A deployment of the example, its environment, and the service that runs on it."""

    home: Path
    port: int
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(self, *arguments: str, stdin: str = "", **variables: str) -> Result:
        """The command in this process, with this deployment's environment."""
        return CliRunner().invoke(app, arguments, input=stdin, env={**self.environment, **variables})

    def workers(self) -> list[int]:
        return children_of(self.process.pid)

    def key(self, name: str) -> str:
        key: str = json.loads((self.home / "demo.json").read_text())["keys"][name]
        return key


def privacy(*arguments: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own."""
    return subprocess.run(
        command(*arguments), env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "cli.main", *arguments]


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < deadline, f"not within {SECONDS:.0f} seconds: {what}"
        time.sleep(0.05)


def is_ready(url: str) -> bool:
    try:
        with http(url, timeout=2) as client:
            return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def end(process: subprocess.Popen[bytes]) -> int:
    process.terminate()
    try:
        return process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def environment_of(home: Path, port: int, workers: int = 2) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PRIVACY_")}
    return inherited | {
        "PRIVACY_HOME": str(home), "PRIVACY_PORT": str(port), "PRIVACY_WORKERS": str(workers),
        "PRIVACY_DETECTION": "patterns", "PRIVACY_DETECTION_WORKERS": "0",
    }  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The example, served by two workers to everybody in this module."""
    folder = tmp_path_factory.mktemp("serving")
    home, port, log = folder / "home", unused_port(), folder / "log"
    environment = environment_of(home, port)
    for arguments in (("init", "--manifest", str(EXAMPLE)), ("demo", "--prepare")):
        done = privacy(*arguments, environment=environment)
        assert done.returncode == 0, done.stderr
    with log.open("wb") as stderr:
        process = subprocess.Popen(command("serve"), env=environment, cwd=ROOT, stderr=stderr)
    found = Place(home, port, environment, process, log)
    try:
        wait_until(lambda: process.poll() is not None or is_ready(found.url), "ready")
        assert process.poll() is None, log.read_text()
        yield found
    finally:
        if process.poll() is None:
            end(process)


@pytest.fixture(scope="module")
def report(place: Place) -> Any:
    """What came of the demonstration, the first time."""
    done = place.run("demo", "--subjects", str(SUBJECTS), "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def test_the_demonstration_stores_what_components_write(report: Any) -> None:
    assert report["created"] == report["subjects"] == report["stored"]["member"] == SUBJECTS
    assert report["languages"] == {"zh": SUBJECTS // 2, "en": SUBJECTS // 2}
    assert report["stored"]["interaction"] > 0
    assert report["stored"]["complaint"] > 0


def test_every_caller_is_found_by_telephone_number(report: Any) -> None:
    assert report["searches"]["made"] == report["searches"]["found"] > 0


def test_customer_service_gets_telephone_numbers_through_a_mask(report: Any) -> None:
    disclosed = report["disclosed"]["customer-service"]
    assert disclosed["masks"]["phone"] == "phone"
    assert disclosed["masked"] == SUBJECTS - 1  # one is restricted
    (restricted,) = [one for one in report["refused"] if one["code"] == "restricted"]
    assert (restricted["purpose"], report["restricted"]) == ("customer-service", 1)
    assert {"PIPL-44", "GDPR-18"} <= set(restricted["law"])


def count(report: Any, purpose: str, state: str, language: str | None = None) -> int:
    """How many acts of consent of this kind were recorded."""
    return sum(
        one["count"]
        for one in report["consents"]
        if (one["purpose"], one["state"]) == (purpose, state) and language in (None, one["language"])
    )


def test_people_are_asked_under_a_notice_in_their_own_language(report: Any) -> None:
    assert report["notice"]
    for language in ("zh", "en"):
        assert count(report, "marketing", "given", language) > 0
        assert count(report, "partner-offers", "refused", language) > 0
    assert {one["state"] for one in report["consents"]} == {"given", "refused", "deferred", "withdrawn"}


@pytest.mark.parametrize("purpose", ["marketing", "partner-offers"])
def test_a_purpose_gets_those_who_consented_and_no_others(report: Any, purpose: str) -> None:
    valid = count(report, purpose, "given") - count(report, purpose, "withdrawn")
    refused = [one for one in report["refused"] if one["purpose"] == purpose]
    assert report["disclosed"][purpose]["records"] == valid > 0
    assert sum(one["count"] for one in refused) == SUBJECTS - valid
    assert {one["code"] for one in refused} <= {"consent-missing", "guardian-consent-missing"}


def test_identity_numbers_are_kept_of_those_who_agreed_to_just_that(report: Any) -> None:
    agreed = count(report, "identity-verification", "given")
    assert report["stored"]["identity"] == agreed > 0
    assert count(report, "identity-verification", "given", "en") == 0
    assert report["disclosed"]["identity-verification"]["values"] == 2 * agreed  # name and number


def test_every_refusal_says_in_a_sentence_of_each_language_what_is_missing(report: Any) -> None:
    by_rule = [one for one in report["refused"] if one["law"] and one["code"] != "undeclared-purpose"]
    assert len(by_rule) > 5
    for one in by_rule:
        assert one["why"]["en"].isascii()
        assert re.search("[一-鿿]", one["why"]["zh"])
    withdrawn = [one for one in by_rule if "withdrawn" in one["why"]["en"]]
    assert [(one["count"], "撤回" in one["why"]["zh"]) for one in withdrawn] == [
        (count(report, "marketing", "withdrawn"), True)
    ]


def test_the_analyst_is_refused_and_told_the_law(report: Any) -> None:
    refused = {one["purpose"]: one for one in report["refused"] if one["component"] == "demo-analyst"}
    assert refused["statistics"]["code"] == "anonymised-only"
    assert refused["customer-service"]["code"] == "not-granted"
    assert all(one["law"] for one in refused.values())


def test_the_analyst_gets_what_was_said_redacted(report: Any) -> None:
    disclosed = report["disclosed"]["service-quality"]
    assert disclosed["masks"] == {"content": "redacted"}
    assert disclosed["masked"] == disclosed["records"] == report["stored"]["interaction"]


def test_an_undeclared_purpose_is_refused(report: Any) -> None:
    assert [one["code"] for one in report["refused"] if one["purpose"] == "credit-scoring"] == ["undeclared-purpose"]


def test_a_second_demonstration_adds_nothing(place: Place, report: Any) -> None:
    done = place.run("demo", "--subjects", str(SUBJECTS), "--json")
    again = json.loads(done.stdout)
    assert again["created"] == 0
    assert set(again["stored"].values()) <= {0}
    assert again["consents"] == []
    assert again["restricted"] == 0
    assert again["refused"] == report["refused"]
    assert again["disclosed"] == report["disclosed"]


def _pasted(line: str) -> Any:
    """What the printed command asks, without the program it names: a fresh machine may not have it."""
    curl, silent, url, option, header = shlex.split(line)
    assert (curl, silent, option) == ("curl", "-s", "-H")
    name, _, value = header.partition(": ")
    return httpx.get(url, headers={name: value}).json()


def _both(said: Any, shown: Any) -> Iterator[tuple[Any, Any]]:
    """Each record as one purpose gets it and as another does."""
    return zip(said["items"], shown["items"], strict=True)


def test_of_so_few_people_nothing_is_released_and_a_count_has_noise(report: Any) -> None:
    figures = report["figures"]
    assert (figures["release"]["state"], figures["release"]["code"]) == ("refused", "unsafe-table")
    assert figures["rows"] == []
    assert figures["count"]["rho"] == pytest.approx(0.01)
    assert abs(figures["count"]["value"] - report["stored"]["interaction"]) < 10 * figures["count"]["accuracy"]


def test_the_report_for_people_ends_with_commands_that_work(place: Place, report: Any) -> None:
    done = place.run("demo", "--subjects", str(SUBJECTS))
    assert done.exit_code == 0, done.stderr
    curls = [line for line in done.stdout.splitlines() if line.startswith("curl ")]
    answers = [_pasted(line) for line in curls]
    member, refusal, *talks, events = answers
    assert "****" in member["items"][0]["data"]["phone"]
    assert (refusal["status"], refusal["code"]) == (403, "undeclared-purpose")
    assert refusal["law"]
    seen = [(event["outcome"], event["purpose"]) for event in events["items"]]
    assert ("disclosed", "customer-service") in seen
    assert ("refused", None) in seen  # a purpose that nobody declared may be anything: its name is not kept
    clear, redacted, log, *english, released, budgets = talks
    assert len(english) == 2
    assert released["items"][0]["lineage"] == "interaction"
    assert {one["analyst"] for one in budgets["items"]} == {"*", "demo-analyst"}
    for said, shown in ((clear, redacted), english):
        texts = [(one["data"]["content"], two["data"]["content"]) for one, two in _both(said, shown)]
        assert any(text != without for text, without in texts)
        assert not any(re.search(r"1[3-9][0-9]{9}|\+44 [0-9]", without) for _, without in texts)
        assert any(re.search(r"1[3-9][0-9]{9}|\+44 [0-9]", text) for text, _ in texts)
    read = [event for event in log["items"] if event["action"] == "record.read"]
    assert {tuple(event["detail"].get("redacted", ())) for event in read} == {(), ("content",)}


def test_a_person_can_be_found_and_read_by_hand_with_a_components_key(place: Place, report: Any) -> None:
    key = place.key("demo-desk")
    phone = values_of(SUBJECTS)[0].phone
    asked = ("subject", "search", "--type", "member", "--field", "phone", "--purpose", "customer-service", "--json")
    hits = json.loads(place.run(*asked, stdin=f"{phone}\n", PRIVACY_KEY=key).stdout)["items"]
    subject = hits[0]["subject_id"]
    read = place.run("subject", "read", subject, "--purpose", "customer-service", "--type", "member", PRIVACY_KEY=key)
    assert read.exit_code == 0, read.stderr
    assert "****" in read.stdout
    assert phone not in read.stdout
    decided = ("subject", "decision", subject, "--purpose", "customer-service", "--type", "member", "--json")
    assert json.loads(place.run(*decided, PRIVACY_KEY=key).stdout)["fields"]["phone"] == "phone"


def test_a_refusal_over_http_is_a_problem_on_standard_error(place: Place, report: Any) -> None:
    key = place.key("demo-auditor")
    asked = ("subject", "search", "--type", "member", "--field", "phone", "--purpose", "customer-service", "--json")
    done = place.run(*asked, stdin="13800138000\n", PRIVACY_KEY=key)
    assert done.exit_code == 1
    assert json.loads(done.stderr)["code"] == "not-granted"
    assert "13800138000" not in done.stderr + done.stdout


def test_the_keys_of_the_demonstration_are_for_their_owner_only(place: Place) -> None:
    assert (place.home / "demo.json").stat().st_mode & 0o077 == 0


def test_the_port_of_a_running_service_is_taken_by_somebody_with_a_name(place: Place) -> None:
    done = privacy("serve", environment=place.environment)
    assert done.returncode == 1
    assert f"Port {place.port}" in done.stderr
    assert f"process {place.process.pid}" in done.stderr
    assert "PRIVACY_PORT=" in done.stderr


def test_the_doctor_knows_a_running_service(place: Place) -> None:
    examined = place.run("doctor")
    assert examined.exit_code == 0, examined.stdout
    assert "a service answers there" in examined.stdout


def test_a_worker_that_is_killed_is_replaced(place: Place, report: Any) -> None:
    before = place.workers()
    assert len(before) == 2
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: len(set(place.workers()) - {before[0]}) == 2, "two workers again")
    wait_until(lambda: "serve.worker-died" in place.log.read_text(), "the log says so")
    assert is_ready(place.url)


def test_the_log_is_lines_of_json_without_a_persons_values(place: Place, report: Any) -> None:
    text = place.log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert {"serve.starting", "worker.ready"} <= {line["event"] for line in lines}
    for person in values_of(SUBJECTS):
        for value in (person.name, person.phone, person.email, person.address):
            assert value not in text


def test_no_worker_leaves_a_core_file(place: Place) -> None:
    def limited(worker: int) -> bool:
        text = Path(f"/proc/{worker}/limits").read_text()
        return re.search(r"^Max core file size +0 +0 ", text, re.MULTILINE) is not None

    # One of them may have been started a moment ago.
    wait_until(lambda: all(limited(worker) for worker in place.workers()), "no core files")


@pytest.fixture
def served(tmp_path: Path, place: Place) -> Iterator[Place]:
    """A service of its own on the same deployment, for a test that ends it."""
    port, log = unused_port(), tmp_path / "log"
    environment = environment_of(place.home, port, workers=1)
    with log.open("wb") as stderr:
        process = subprocess.Popen(command("serve"), env=environment, cwd=ROOT, stderr=stderr)
    found = Place(place.home, port, environment, process, log)
    wait_until(lambda: process.poll() is not None or "worker.ready" in log.read_text(), "a worker")
    yield found
    if process.poll() is None:
        end(process)


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_service_and_its_workers(served: Place, ending: signal.Signals) -> None:
    workers = served.workers()
    served.process.send_signal(ending)
    assert served.process.wait(SECONDS) == 0
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    assert "worker-died" not in served.log.read_text()


def test_workers_do_not_outlive_a_killed_parent(served: Place) -> None:
    workers = served.workers()
    served.process.kill()
    served.process.wait(SECONDS)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "the workers end")


def test_a_service_that_cannot_start_says_why_and_ends(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    done = privacy("serve", environment=environment_of(home, unused_port(), workers=1))
    assert done.returncode == 1
    events = [json.loads(line)["event"] for line in done.stderr.splitlines()]
    assert "worker.cannot-start" in events


def test_the_first_run_sets_everything_up_and_the_second_finds_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for words in (("✓ The deployment is at", "Stored", "Try it"), ("✓ The sample data is there", "Try it")):
        said = first_run(tmp_path, environment_of(home, unused_port(), workers=1))
        for word in words:
            assert word in said
    assert "Stored" not in said
    assert "The deployment is at" not in said


def first_run(folder: Path, environment: Mapping[str, str]) -> str:
    """What `privacy serve --demo` says until it has said all, and is ended."""
    output = folder / "output"
    with output.open("wb") as stdout:
        process = subprocess.Popen(
            command("serve", "--demo", "--demo-subjects", "20"),
            env=environment,
            cwd=ROOT,
            stdout=stdout,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: process.poll() is not None or "until Ctrl-C" in output.read_text(), "all is said")
        assert process.poll() is None, output.read_text()
    finally:
        status = end(process)
    assert status == 0
    return output.read_text()
