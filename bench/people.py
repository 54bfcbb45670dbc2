"""A deployment with invented members, and the requests that a component would send about them.

The manifest is the example's. A member's record has eight fields, four of them with a blind index, and is
kept for membership and for emergencies; it is read for membership, which sees six of them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from bench import load
from bench.servers import ROOT, Where
from privacy import at_the_door, declaration, manifest, principals, records, subjects
from privacy.group import Call, Failure
from privacy.settings import Settings
from privacy.steward import Steward
from privacy.work import Role
from tests.world import Clock, World

BATCH: Final = 100
TYPE: Final = "member"
KEPT_FOR: Final = ("membership", "emergency")
PURPOSE: Final = "membership"
LOOKUPS: Final = ("name", "phone", "email", "wechat")
_MANIFEST: Final = ROOT / "examples" / "operations" / "manifest.yaml"
_AT_ONCE: Final = 200
_SINGLES: Final = 20_000  # distinct requests of one kind; afterwards they come again
_BATCHES: Final = 100

_FAMILY: Final = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗"
_GIVEN: Final = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华"
_CITIES: Final = ("杭州市西湖区文三路", "北京市海淀区中关村大街", "深圳市南山区科技园路", "成都市武侯区人民南路")
_REASONS: Final = ("朋友介绍，想参加线下活动", "关注产品更新与使用技巧", "希望认识同城的同行，一起学习交流")


@dataclass(frozen=True, slots=True)
class Crowd:
    """A deployment and who is in it; `record_ids[n]` is of `subject_ids[n]`, whose number is `phones[n]`."""

    where: Where
    key: str = field(repr=False)
    subject_ids: tuple[UUID, ...]
    record_ids: tuple[UUID, ...]
    phones: tuple[str, ...]

    def reads(self) -> list[bytes]:
        """GET of one record, random ids."""
        ids = random.Random(1).choices(self.record_ids, k=_SINGLES)
        return [load.get(f"/v1/records/{record_id}?purpose={PURPOSE}", self.key) for record_id in ids]

    def writes(self) -> list[bytes]:
        """POST of one new record, of random subjects."""
        choice = random.Random(2)
        return [
            load.post(f"/v1/subjects/{subject_id}/records", _body(new_record(choice, 139)), self.key)
            for subject_id in choice.choices(self.subject_ids, k=_SINGLES)
        ]

    def searches(self) -> list[bytes]:
        """POST of an exact search by telephone number: one subject has it."""
        return [
            load.post(
                "/v1/subjects/search",
                _body({"type": TYPE, "field": "phone", "value": phone, "purpose": PURPOSE}),
                self.key,
            )
            for phone in random.Random(3).choices(self.phones, k=_SINGLES)
        ]

    def batch_reads(self) -> list[bytes]:
        """POST that reads 100 records by random ids."""
        choice = random.Random(4)
        return [
            load.post(
                "/v1/records/batch-read",
                _body(
                    {
                        "purpose": PURPOSE,
                        "items": [{"record_id": str(found)} for found in choice.choices(self.record_ids, k=BATCH)],
                    }
                ),
                self.key,
            )
            for _ in range(_BATCHES)
        ]

    def batch_writes(self) -> list[bytes]:
        """POST that stores 100 new records of random subjects, each by itself."""
        choice = random.Random(5)
        return [
            load.post(
                "/v1/records/batch-write",
                _body(
                    {
                        "mode": "each",
                        "items": [
                            {"subject_id": str(found)} | new_record(choice, 139)
                            for found in choice.choices(self.subject_ids, k=BATCH)
                        ],
                    }
                ),
                self.key,
            )
            for _ in range(_BATCHES)
        ]


def new_record(choice: random.Random, prefix: int) -> dict[str, object]:
    """A member's record as the service takes it. Nobody has these numbers and addresses but by chance."""
    return {"type": TYPE, "purposes": list(KEPT_FOR), "data": member(choice, f"{prefix}{choice.randrange(10**8):08}")}


def member(choice: random.Random, phone: str) -> dict[str, str]:
    """The eight fields of an invented member."""
    number = choice.randrange(10**9)
    return {
        "name": choice.choice(_FAMILY) + "".join(choice.choices(_GIVEN, k=choice.choice((1, 2)))),
        "phone": phone,
        "email": f"member{number}@example.cn",
        "wechat": f"wx_{number:09}",
        "address": f"{choice.choice(_CITIES)}{choice.randrange(1, 900)}号{choice.randrange(1, 60)}幢",
        "emergency_contact": f"137{choice.randrange(10**8):08}",
        "joined_at": f"20{choice.randrange(15, 26)}-{choice.randrange(1, 13):02}-{choice.randrange(1, 29):02}",
        "join_reason": choice.choice(_REASONS),
    }


def _body(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def settle(where: Where, people: int) -> Crowd:
    """Make the deployment and its principal, and store `people` subjects with a record each."""
    service = Steward.create(
        Settings(home=where.home, database_url=where.database_url, keystore_url=where.keystore_url)
    )
    try:
        declared = manifest.parse(_MANIFEST.read_text(encoding="utf-8"), _MANIFEST.name)
        with service.begin() as work:
            declaration.apply(work, declared)
        with service.begin() as work:
            key = principals.add(work, "bench", role=Role.SERVICE, purposes=KEPT_FOR, types=(TYPE,)).key
        world = World(service, Clock(), {"bench": key})
        subject_ids: tuple[UUID, ...] = tuple(_done(world, [lambda work: subjects.create(work).id] * people))
        choice = random.Random(people)
        # distinct, so that a search finds one
        phones = tuple(f"138{number:08}" for number in choice.sample(range(10**8), people))
        data = [member(choice, phone) for phone in phones]
        analysed = at_the_door.analyse(service, at_the_door.wanted(declared, [(TYPE, one) for one in data]))
        stores = [_store(found, one, analysed) for found, one in zip(subject_ids, data, strict=True)]
        record_ids: tuple[UUID, ...] = tuple(_done(world, stores))
        return Crowd(where, key, subject_ids, record_ids, phones)
    finally:
        service.close()


def _store(subject_id: UUID, data: dict[str, str], analysed: at_the_door.Analysed) -> Call:
    return lambda work: records.store(work, subject_id, type=TYPE, purposes=KEPT_FOR, data=data, analysed=analysed).id


def _done(world: World, calls: Sequence[Call]) -> Iterator[Any]:
    """Each call's result, through the group as the API hands them in."""
    actor = world.actor("bench")
    for start in range(0, len(calls), _AT_ONCE):
        for outcome in world.together(actor, calls[start : start + _AT_ONCE]):
            if isinstance(outcome, Failure):
                raise outcome.error
            yield outcome
