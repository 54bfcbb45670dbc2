"""A small organisation for the tests: its manifest, its components, and a service that runs it.

The people are invented; their domains are RFC 2606's.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from keys.kms import open_root
from keys.store import KeyStore
from privacy import consent, declaration, manifest, notices, principals, records, standing, subjects
from privacy.database import migrate, open_database
from privacy.group import Call, Failure, Group, Outcome, Request
from privacy.settings import Settings
from privacy.steward import Steward, wall_clock
from privacy.tables import moment
from privacy.work import TERMINAL, Actor, Role
from tests.databases import Databases

WITHOUT_RECIPIENTS: Final = """\
controller:
  name: {zh: 示例运营有限公司, en: Example Operations Ltd}
  contact: privacy@example.cn
  jurisdiction: CN
  languages: [zh, en]
records:
  member:
    title: {zh: 会员, en: Member}
    fields:
      name:      {level: L3, category: pd:Name, mask: name, lookup: exact}
      phone:     {level: L3, category: pd:TelephoneNumber, detect: CN_MOBILE, lookup: exact, mask: phone}
      email:     {level: L3, category: pd:EmailAddress, lookup: exact, mask: email}
      id_number: {level: L4, category: pd:OfficialID, detect: CN_RESIDENT_ID, lookup: exact, mask: all}
      joined_at: {level: L2, category: pd:ServiceConsumptionBehaviour, type: date}
  interaction:
    title: {zh: 交互记录, en: Interaction}
    fields:
      channel:   {level: L2, category: pd:Communication}
      content:   {level: L3, category: pd:Communication, type: text}
  invoice:
    title: {zh: 发票, en: Invoice}
    scope: ledger
    fields:
      amount:    {level: L3, category: pd:Transaction, type: integer}
      paid:      {level: L3, category: pd:Transaction, type: boolean}
purposes:
  membership:
    title: {zh: 会员服务, en: Membership}
    basis: contract
    category: dpv:ServiceProvision
    uses: {member: "*"}
    keep: P3Y
  customer-service:
    title: {zh: 客户服务, en: Customer service}
    basis: contract
    category: dpv:CustomerCare
    uses: {member: [name, phone.masked, id_number.masked], interaction: "*"}
    keep: P2Y
  marketing:
    title: {zh: 营销, en: Marketing}
    basis: consent
    category: dpv:Marketing
    uses: {member: [phone, email]}
    keep: P1Y
    consent: {expires: P1Y}
  tax:
    title: {zh: 税务, en: Tax}
    basis: legal-obligation
    category: dpv:LegalCompliance
    law: [CN-TAX-24]
    uses: {invoice: "*"}
    keep: P10Y
  statistics:
    title: {zh: 统计, en: Statistics}
    basis: consent
    category: dpv:ServiceOptimisation
    uses: {member: [joined_at], interaction: [channel]}
    keep: P1Y
    only: anonymised
"""
MANIFEST: Final = (
    WITHOUT_RECIPIENTS
    + """\
recipients:
  sms-gateway:
    title: {zh: 短信服务商, en: SMS gateway}
    kind: processor
    contact: dpo@sms.example
    jurisdiction: CN
    purposes: [customer-service, marketing]
"""
)

PHONE: Final = "13800138000"
PERSON: Final = {
    "name": "王伟",
    "phone": PHONE,
    "email": "wang.wei@example.cn",
    "id_number": "11010519491231002X",
    "joined_at": "2026-01-31",
}


class Clock:
    """A clock that the test moves. Reads the wall by default, so that ids and instants agree."""

    def __init__(self) -> None:
        self.ahead = 0

    def __call__(self) -> int:
        return wall_clock() + self.ahead

    def advance(self, *, days: float = 0, seconds: float = 0) -> None:
        self.ahead += int((days * 86_400 + seconds) * 1_000_000)


def migrate_data(url: str) -> None:
    """A template of the data database."""
    database = open_database(url)
    migrate(database)
    database.close()


def migrate_keys(url: str) -> None:
    """A template of the key store."""
    KeyStore.create(url).close()


@dataclass
class World:
    """A running service with its manifest applied and one principal of each kind."""

    service: Steward
    clock: Clock
    keys: dict[str, str]

    @property
    def platform(self) -> Actor:
        """The community platform: registers members."""
        return self.actor("platform")

    @property
    def desk(self) -> Actor:
        """The interaction desk: customer service."""
        return self.actor("desk")

    @property
    def auditor(self) -> Actor:
        return self.actor("auditor")

    def service_now(self) -> datetime:
        """The instant that the service's clock shows."""
        return moment(self.service.instant())

    def actor(self, name: str) -> Actor:
        return self.service.authenticate(self.keys[name])

    def subject(self, **facts: Any) -> UUID:
        with self.service.begin(self.platform) as work:
            return subjects.create(work, **facts).id

    def store(
        self,
        subject_id: UUID,
        data: dict[str, object] | None = None,
        *,
        type: str = "member",
        purposes: Sequence[str] = ("membership",),
        by: str = "platform",
    ) -> records.StoredRecord:
        with self.service.begin(self.actor(by)) as work:
            return records.store(work, subject_id, type=type, purposes=purposes, data=data or dict(PERSON))

    def read(self, record_id: UUID, purpose: str, *, by: str = "desk", **options: Any) -> records.Record:
        with self.service.begin(self.actor(by)) as work:
            return records.read(work, record_id, purpose=purpose, **options)

    def consent(self, subject_id: UUID, purpose: str = "marketing") -> consent.Consent:
        with self.service.begin(self.platform) as work:
            return consent.decide(work, subject_id, purpose, "given")

    def restrict(self, subject_id: UUID, purpose: str | None = None) -> None:
        with self.service.begin(self.platform) as work:
            standing.restrict(work, subject_id, purpose)

    def events(self, **filters: Any) -> list[dict[str, Any]]:
        """Audit events oldest first, straight from the table, so that looking leaves none."""
        from sqlalchemy import select

        from privacy.tables import audit_events

        statement = select(audit_events).order_by(audit_events.c.event_id)
        for name, value in filters.items():
            statement = statement.where(audit_events.c[name] == value)
        with self.service.database.borrow() as lane, lane.transaction() as transaction:
            return [dict(row._mapping) for row in transaction.execute(statement)]

    def together(self, actor: Actor, calls: Sequence[Call], *, together: bool = False) -> Sequence[Outcome]:
        """Run calls as one request of the group."""
        return self.many([(actor, calls, together)])[0]

    def many(self, requests: Sequence[tuple[Actor, Sequence[Call], bool]]) -> list[Sequence[Outcome]]:
        """Several requests, waiting together."""

        async def run() -> list[Sequence[Outcome]]:
            group = Group(self.service)
            answers = [group.submit(Request(actor, calls, together)) for actor, calls, together in requests]
            try:
                return list(await asyncio.wait_for(asyncio.gather(*answers), timeout=30))
            finally:
                await group.close()
                if self.service.vault.reader is not None:
                    self.service.vault.reader.close()  # its connections belong to this loop

        return asyncio.run(run())


def errors_of(outcomes: Sequence[Outcome]) -> list[str | None]:
    """The code of each outcome's error, None where there is none."""
    return [getattr(found.error, "code", "?") if isinstance(found, Failure) else None for found in outcomes]


_PRINCIPALS: Final[dict[str, tuple[Role, tuple[str, ...], tuple[str, ...]]]] = {
    "platform": (Role.SERVICE, ("membership", "marketing", "tax"), ("member", "invoice")),
    "desk": (Role.SERVICE, ("customer-service",), ("member", "interaction")),
    "analyst": (Role.SERVICE, ("statistics",), ("member", "interaction")),
    "operator": (Role.OPERATOR, (), ()),
    "auditor": (Role.AUDITOR, (), ()),
    "admin": (Role.ADMIN, (), ()),
}


def build(home: Path, database_url: str, keystore_url: str, *, text: str = MANIFEST, **settings: Any) -> World:
    """A world on two databases that are migrated or empty."""
    clock = Clock()
    detection: dict[str, Any] = {
        "detection": "patterns",
        "detection_workers": 0,
    }  # no model is loaded but by tests of models
    service = Steward.create(
        Settings(home=home, database_url=database_url, keystore_url=keystore_url, **(detection | settings)), clock
    )
    with service.begin(TERMINAL) as work:
        declared = manifest.parse(text, "world.yaml")
        notices.follow(work, declared, declaration.apply(work, declared).version)
    keys = {}
    for name, (role, purposes, types) in _PRINCIPALS.items():
        with service.begin(TERMINAL) as work:
            keys[name] = principals.add(work, name, role=role, purposes=purposes, types=types).key
    return World(service, clock, keys)


class Worlds:
    """Copies of one world on each kind of database: founding it anew takes ten times as long.

    All have the same keys, the same principals, and the events of their founding.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._founded: dict[type[Databases], tuple[Settings, dict[str, str]]] = {}

    def copy(self, databases: Databases, home: Path) -> World:
        """A world of one's own, running; to be given to `remove`."""
        settings, keys = self._founded.get(type(databases)) or self._found(databases)
        shutil.copytree(settings.home, home)
        copied = replace(
            settings,
            home=home,
            database_url=databases.copy(settings.database_url, is_final=True),
            keystore_url=databases.copy(settings.keystore_url, is_final=True),
        )
        clock = Clock()
        service = Steward(
            copied,
            open_database(copied.database_url),
            KeyStore.open(copied.keystore_url),
            open_root(copied.kms, home),
            clock,
        )
        service.reload()
        return World(service, clock, dict(keys))

    def remove(self, databases: Databases, world: World) -> None:
        world.service.close()
        databases.remove(world.service.settings.database_url)
        databases.remove(world.service.settings.keystore_url)

    def _found(self, databases: Databases) -> tuple[Settings, dict[str, str]]:
        urls = [databases.migrated(migrate) for migrate in (migrate_data, migrate_keys)]
        world = build(self._folder / type(databases).__name__, *urls)
        world.service.close()
        self._founded[type(databases)] = world.service.settings, world.keys
        return self._founded[type(databases)]
