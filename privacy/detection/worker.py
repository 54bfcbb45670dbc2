"""A worker process of detection: questions come in on a pipe, answers leave on another.

    python -m privacy.detection.worker MODE

Standard input and output carry frames: four bytes of length, big-endian, and a MessagePack value. The first frame out
is a greeting; after it each question, [languages, texts], has one answer: a list for each text of
[start, end, entity, score, why], or {"error": ..., "at": ...}, the type and the place of an exception and never its
text, which may quote what was analysed. A text is UTF-8 bytes.

1. Nothing else uses the pipe: what a library prints goes nowhere, and so does standard error.
2. The process ends when its standard input does, whatever it is doing: it does not outlive its parent.
3. It leaves no core file and no other process of this user reads its memory: it holds texts.
"""

from __future__ import annotations

import ctypes
import gc
import os
import queue
import resource
import signal
import struct
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

_LENGTH: Final = struct.Struct(">I")
_PR_SET_DUMPABLE: Final = 4  # linux/prctl.h
_ROOT: Final = Path(__file__).resolve().parents[2]


def write_frame(descriptor: int, value: object) -> None:
    """Raises `OSError` when nobody reads."""
    body = msgspec.msgpack.encode(value)
    left = memoryview(_LENGTH.pack(len(body)) + body)
    while left:
        left = left[os.write(descriptor, left) :]


def read_frame(read: Callable[[int], bytes]) -> Any:  # whatever MessagePack holds; each side knows what it asked for
    """The next value. `read` gives at most so many bytes, none at the end. Raises `EOFError` at the end."""
    (length,) = _LENGTH.unpack(_exactly(read, _LENGTH.size))
    return msgspec.msgpack.decode(_exactly(read, length))


def _exactly(read: Callable[[int], bytes], count: int) -> bytes:
    parts: list[bytes] = []
    while count:
        part = read(min(count, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def main(mode: str) -> None:
    """Answer until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupted parent finishes what it has in hand
    _forbid_dumps()
    out = os.dup(1)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    questions: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(questions,), daemon=True).start()
    gc.disable()  # nothing that loads is garbage
    try:
        from privacy.detection.analyser import Analyser

        analyser = Analyser("full" if mode == "full" else "patterns")
    except Exception as error:  # noqa: BLE001 - the edge of the process: the parent is told
        write_frame(out, _failure(error))
        return
    gc.freeze()  # models stay: the collector need not look at them again
    gc.enable()
    write_frame(out, {"mode": analyser.mode})
    while True:
        languages, texts = questions.get()
        try:
            decoded = [text.decode("utf-8", "surrogatepass") for text in texts]
            found = analyser.analyse(decoded, languages)
            answer: object = [[(f.start, f.end, f.entity, f.score, f.why) for f in each] for each in found]
        except Exception as error:  # noqa: BLE001 - the edge of the process: the parent is told
            answer = _failure(error)
        with suppress(BrokenPipeError):  # the parent has gone: so do we, in a moment
            write_frame(out, answer)


def _listen(questions: queue.SimpleQueue[Any]) -> None:
    """Read questions until there are none, and then end the process, in whatever it is."""
    try:
        while True:
            questions.put(read_frame(lambda count: os.read(0, count)))
    except (EOFError, OSError):
        os._exit(0)


def _failure(error: Exception) -> dict[str, str]:
    frames = [one for one in traceback.extract_tb(error.__traceback__) if _ROOT in Path(one.filename).parents]
    place = f"{Path(frames[-1].filename).relative_to(_ROOT)}:{frames[-1].lineno}" if frames else ""
    return {"error": type(error).__name__, "at": place}


def _forbid_dumps() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # A kernel that refuses leaves things as they were; nothing depends on it but caution.
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


if __name__ == "__main__":
    main(sys.argv[1])
