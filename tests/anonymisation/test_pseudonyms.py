"""Pseudonyms: the same for one recipient and purpose, nothing in common beyond, and gone with the subject's key."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from privacy import erasure, pseudonyms, rekeying
from privacy.errors import (
    AnonymisedOnly,
    ConsentMissing,
    Erased,
    Forbidden,
    NotFound,
    PrivacyError,
    Restricted,
    UndeclaredPurpose,
    UndeclaredRecipient,
)
from privacy.ids import new
from privacy.tables import audit_events
from tests.invariants.looking import rows
from tests.privacy.kept import declare
from tests.world import MANIFEST, World

SECOND = """\
  mailer:
    kind: processor
    contact: dpo@mail.example
    jurisdiction: CN
    purposes: [marketing, membership]
  partner:
    kind: controller
    contact: dpo@partner.example
    jurisdiction: CN
    purposes: [marketing]
"""


def give(
    world: World, subject_id: UUID, recipient: str = "sms-gateway", purpose: str = "marketing", by: str = "platform"
) -> str:
    with world.service.begin(world.actor(by)) as work:
        found = pseudonyms.give(work, subject_id, purpose=purpose, recipient=recipient)
    assert dict(found.label) == {"en": "de-identified", "zh": "去标识化"}
    assert found.law[0] == "PIPL-73-3"
    return found.pseudonym


def consenting(world: World) -> UUID:
    subject_id = world.subject()
    world.consent(subject_id)
    return subject_id


def test_a_pseudonym_is_always_the_same_and_has_nothing_of_the_subject_in_it(world: World) -> None:
    subject_id = consenting(world)
    first = give(world, subject_id)
    assert first == give(world, subject_id)
    assert len(first) == 32
    assert subject_id.hex not in first


def test_no_two_recipients_purposes_or_subjects_share_a_pseudonym(world: World) -> None:
    # Broken by hand: the recipient, then the purpose, left out of what the pseudonym is derived from.
    declare(world, MANIFEST + SECOND)
    subjects = [consenting(world) for _ in range(3)]
    told = [("sms-gateway", "marketing"), ("mailer", "marketing"), ("mailer", "membership")]
    found = [give(world, subject_id, *place) for subject_id in subjects for place in told]
    assert len(set(found)) == len(found)
    assert len({one[:8] for one in found}) == len(found)


def test_giving_one_is_a_disclosure_on_record_without_the_pseudonym(world: World) -> None:
    subject_id = consenting(world)
    found = give(world, subject_id)
    (event,) = [event for event in rows(world, audit_events) if event["action"] == pseudonyms.GIVEN]
    assert (event["outcome"], event["subject_id"], event["purpose"]) == ("disclosed", subject_id, "marketing")
    assert event["detail"]["recipient"] == "sms-gateway"
    assert found not in str(rows(world, audit_events))


def test_erasing_the_subject_ends_its_pseudonyms(world: World) -> None:
    subject_id = consenting(world)
    give(world, subject_id)
    erasure.erase(world.service, subject_id)
    with pytest.raises(Erased):
        give(world, subject_id)


def test_without_the_key_there_is_no_pseudonym_even_while_the_row_stands(world: World) -> None:
    subject_id = consenting(world)
    give(world, subject_id)
    store = world.service.keystore
    store.erase(subject_id.bytes, None, None, [])
    with pytest.raises(Erased):
        give(world, subject_id)


def test_another_data_key_makes_another_pseudonym(world: World) -> None:
    subject_id = consenting(world)
    before = give(world, subject_id)
    (key,) = world.service.keystore.kids_of(subject_id.bytes)
    rekeying.rekey_subjects(world.service, [(subject_id, key.kid, key.scope)])
    assert give(world, subject_id) != before


def refusals(world: World) -> dict[str, tuple[dict[str, Any], type[PrivacyError]]]:
    consented, silent, restricted = consenting(world), world.subject(), consenting(world)
    world.restrict(restricted)
    return {
        "no consent": ({"subject_id": silent}, ConsentMissing),
        "restricted": ({"subject_id": restricted}, Restricted),
        "nobody": ({"subject_id": new()}, NotFound),
        "another purpose's recipient": ({"subject_id": consented, "purpose": "membership"}, UndeclaredRecipient),
        "no recipient": ({"subject_id": consented, "recipient": "nobody"}, UndeclaredRecipient),
        "no purpose": ({"subject_id": consented, "purpose": "nothing"}, UndeclaredPurpose),
        "no grant": ({"subject_id": consented, "by": "desk"}, Forbidden),
        "an operator": ({"subject_id": consented, "by": "operator"}, Forbidden),
        "a recipient that needs a consent of its own": (
            {"subject_id": consented, "recipient": "partner"},
            ConsentMissing,
        ),
        "anonymised only": ({"subject_id": consented, "purpose": "statistics", "by": "analyst"}, AnonymisedOnly),
    }


def test_the_gate_is_asked_as_for_every_disclosure(world: World) -> None:
    declare(world, MANIFEST + SECOND)
    for what, (asked, refusal) in refusals(world).items():
        with pytest.raises(PrivacyError) as refused:
            give(world, **asked)
        assert isinstance(refused.value, refusal), what
    given = [event for event in rows(world, audit_events) if event["action"] == pseudonyms.GIVEN]
    assert {event["outcome"] for event in given} <= {"refused"}
