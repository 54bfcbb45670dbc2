"""Worker processes: what they answer, what happens when they die, and that no text is left anywhere.

Most tests analyse by patterns alone: how a worker is asked does not depend on what it has loaded.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from privacy.detection.analyser import Analyser
from privacy.detection.answers_cache import AnswersCache
from privacy.detection.findings import Finding
from privacy.detection.workers import BATCH, Workers, log
from privacy.errors import Invalid, Unavailable

ROOT: Final = Path(__file__).resolve().parents[2]
SECONDS: Final = 20.0
MARKER: Final = "13900139007"
# Takes seconds by patterns, so that a worker can be met while it is at it.
BOOK: Final = f"客户来电，电话{MARKER}，邮箱wang.wei@example.com，问订单。\n" * 15_000


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    made = Workers(2, "patterns")
    yield made
    made.close()


@pytest.fixture
def own() -> Iterator[Callable[..., Workers]]:
    """Workers that the test may harm."""
    made: list[Workers] = []

    def make(count: int = 1) -> Workers:
        made.append(Workers(count, "patterns"))
        return made[-1]

    yield make
    for one in made:
        one.close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def lives(pid: int) -> bool:
    """A process that has ended and is not waited for yet does not live."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_worker_answers_what_the_analyser_does(workers: Workers) -> None:
    texts = [f"我叫王伟，电话{MARKER}", "", "nothing", "\ud800 王伟 wang@example.com", "a" * 20_000 + MARKER]
    assert workers.analyse(texts) == Analyser("patterns").analyse(texts)
    assert workers.analyse([]) == []
    assert workers.blind_to == Analyser("patterns").blind_to
    with pytest.raises(Invalid):
        workers.analyse(texts, ["fr"])


def test_nothing_is_started_before_the_first_text(own: Callable[..., Workers]) -> None:
    one = own(2)
    assert one.pids == ()
    one.analyse(["x"])
    until(lambda: len(one.pids) == 2)


def test_every_caller_gets_the_answer_to_its_own_texts(workers: Workers) -> None:
    def ask(n: int) -> bool:
        texts = [f"{'天' * (n % 7)}电话139{n:04d}{k:04d}" for k in range(n % 5 + 1)]
        found = workers.analyse(texts)
        return [[text[one.start : one.end] for one in each] for text, each in zip(texts, found, strict=True)] == [
            [text[-11:]] for text in texts
        ]

    with ThreadPoolExecutor(24) as pool:
        assert all(pool.map(ask, range(600)))


def batches_of(workers: Workers) -> list[int]:
    """Notes how many texts each batch of the one engine has, from now on."""
    (engine,) = workers._engines
    sizes: list[int] = []
    analyse = engine.analyse

    def noting(texts: Sequence[str], languages: Sequence[str]) -> list[list[Finding]]:
        sizes.append(len(texts))
        return analyse(texts, languages)

    engine.analyse = noting  # type: ignore[method-assign]  # looks on; what it does is the engine's own
    return sizes


def test_texts_of_many_callers_go_to_a_worker_together(own: Callable[..., Workers]) -> None:
    one = own()
    one.analyse(["warm"])
    sizes = batches_of(one)
    answers = [one.submit([f"第{n}个，电话{MARKER}"]) for n in range(300)]
    assert all(len(answer.result(SECONDS)[0]) == 1 for answer in answers)
    assert sum(sizes) == 300
    assert max(sizes) == BATCH
    assert len(sizes) < 30


def test_the_same_text_is_analysed_once_however_often_it_is_asked(own: Callable[..., Workers]) -> None:
    one = own()
    sizes = batches_of(one)
    first = one.analyse([BOOK[:5000], "x", BOOK[:5000]])
    assert (sizes, first[0] == first[2]) == ([2], True)
    first[0].clear()  # the caller's own list
    assert one.analyse([BOOK[:5000]])[0] == first[2]
    assert sizes == [2]
    one.analyse([BOOK[:5000]], ["zh"])
    assert sizes == [2, 1], "an answer for other languages is another answer"


def test_a_worker_that_is_killed_at_work_is_started_again_and_its_texts_are_answered(
    own: Callable[..., Workers], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a command line or a server that ran in this process before may have silenced the logger
    monkeypatch.setattr(log, "disabled", False)
    monkeypatch.setattr(log, "propagate", True)
    logging.disable(logging.NOTSET)
    caplog.set_level(logging.DEBUG, logger=log.name)
    one = own()
    one.analyse(["warm"])
    (before,) = one.pids
    answer = one.submit([BOOK])
    time.sleep(0.1)
    assert not answer.done()
    os.kill(before, signal.SIGKILL)
    found = answer.result(60)
    assert len(found[0]) == 30_000
    assert one.pids != (before,)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert MARKER not in caplog.text


def test_a_text_that_has_ended_two_workers_is_given_up_and_the_next_is_answered(own: Callable[..., Workers]) -> None:
    one = own()
    one.analyse(["warm"])
    answer = one.submit([BOOK])

    def given_up() -> bool:
        for pid in one.pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return answer.done()

    until(given_up)
    with pytest.raises(Unavailable, match="could not be analysed") as refusal:
        answer.result()
    assert MARKER not in str(refusal.value)
    assert len(one.analyse([MARKER])[0]) == 1


def test_short_texts_do_not_wait_behind_long_ones(own: Callable[..., Workers]) -> None:
    two = own(2)
    two.analyse(["warm"])
    until(lambda: len(two.pids) == 2)
    books = [two.submit([BOOK + str(n)]) for n in range(3)]
    for n in range(5):
        assert len(two.submit([f"{n}，电话{MARKER}"]).result(SECONDS)[0]) == 1
    assert not any(book.done() for book in books)


def test_whoever_waits_when_it_closes_is_told_and_no_process_is_left(own: Callable[..., Workers]) -> None:
    one = own()
    one.analyse(["warm"])
    (pid,) = one.pids
    answers: list[Future[list[list[Finding]]]] = [one.submit([BOOK]), one.submit(["电话13900139008"])]
    time.sleep(0.05)
    closing = threading.Thread(target=one.close)
    closing.start()
    for answer in answers:
        with pytest.raises(Unavailable):
            answer.result(SECONDS)
    closing.join(SECONDS)
    assert not lives(pid)
    assert one.pids == ()
    with pytest.raises(Unavailable):
        one.analyse(["x"])
    one.close()


def test_models_that_cannot_be_loaded_are_said_to_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module in the place of the real one, as it is where the extra is not installed."""
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('not installed')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    workers = Workers(1, "full")
    try:
        with pytest.raises(Unavailable, match="extra `detection`"):
            workers.analyse(["我叫王伟"])
    finally:
        workers.close()


PARENT = """
import sys, time
from privacy.detection.workers import Workers
workers = Workers(2, "patterns")
workers.analyse(["warm"])
while len(workers.pids) < 2:
    time.sleep(0.01)
workers.submit([sys.stdin.readline() * 300_000])
time.sleep(0.2)
print(*workers.pids, flush=True)
time.sleep(60)
"""


def test_workers_end_with_their_parent_even_when_it_is_killed_while_they_work() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdin.write(f"电话{MARKER}，邮箱a@example.com\n")
        parent.stdin.flush()
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        assert all(map(lives, pids))
        parent.kill()
        until(lambda: not any(map(lives, pids)))


def test_a_worker_is_told_nothing_by_arguments_or_environment(
    own: Callable[..., Workers], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRIVACY_DATABASE_URL", "postgresql://steward:secret@db.example/steward")
    one = own()
    one.analyse([f"电话{MARKER}"])
    (pid,) = one.pids
    told = Path(f"/proc/{pid}/cmdline").read_bytes()
    with suppress(PermissionError):  # not even that may be read of it, unless one is root
        told += Path(f"/proc/{pid}/environ").read_bytes()
    assert MARKER.encode() not in told
    assert b"secret" not in told
    assert b"privacy.detection.worker" in told


def test_what_a_worker_has_answered_holds_no_text(own: Callable[..., Workers]) -> None:
    one = own()
    text = f"我叫王伟，电话{MARKER}，不要告诉别人"
    assert one.analyse([text])[0]
    seen: set[int] = set()
    waiting: list[object] = [vars(one), vars(one._answers)]
    while waiting:
        held = waiting.pop()
        if id(held) in seen or isinstance(held, type | type(sys)) or callable(held):
            continue
        seen.add(id(held))
        if isinstance(held, str | bytes):
            plain = held if isinstance(held, str) else held.decode("utf-8", "replace")
            assert MARKER not in plain
            assert "王伟" not in plain
        elif not isinstance(held, threading.Thread):
            waiting += gc.get_referents(held)
    assert len(seen) > 20


def test_a_kept_answer_stands_under_another_name_in_every_process() -> None:
    here, there = AnswersCache(rules="1 full"), AnswersCache(rules="1 full")
    assert here.key("王伟", ("zh",)) != there.key("王伟", ("zh",))
    keys = {
        here.key("王伟", ("zh",)),
        here.key("王伟", ("en",)),
        here.key("王伟", ("zh", "en")),
        here.key("王", ("zh",)),
    }
    assert len(keys) == 4


def test_kept_answers_are_bounded_and_those_asked_for_last_stay() -> None:
    cache = AnswersCache(rules="1", most=10)
    keys = [cache.key(str(n), ("zh",)) for n in range(9)]
    for key in keys[:5]:
        cache.put(key, (Finding(0, 1, "PERSON", 1.0, "model"),))
    assert cache.get(keys[0]) is not None
    cache.put(keys[5], (Finding(0, 1, "PERSON", 1.0, "model"),))
    assert cache.get(keys[0]) is not None
    assert cache.get(keys[1]) is None
    cache.put(keys[0], ())
    cache.put(keys[6], tuple(Finding(n, n + 1, "PERSON", 1.0, "model") for n in range(9)))
    assert [cache.get(key) is not None for key in keys[:7]] == [False] * 6 + [True]
