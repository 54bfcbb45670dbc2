"""Consent receipts: what was agreed or refused, for the person to keep and to show without us.

Two forms of the same facts, signed alike (privacy.signed_documents); docs/receipts.md describes both.

- `dpv`: ISO/IEC TS 27560:2023 through DPV-27560 (w3id.org/dpv/guides/consent-27560, final report 2026-02-15): a
  receipt that wraps the record of one act. The context stands in the document, so reading it needs no network.
- `kantara`: Consent Receipt Specification 1.1.0 (Kantara Initiative, 2018-02-20), of which ISO made the other.

A receipt names the person by the opaque id of the data subject and holds no other personal value. It does not name
who recorded the act either: that is in the audit log under the id of the event, and it may be a member of staff.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from privacy.errors import Conflict, Invalid

# Terms of the PIPL are in no vocabulary yet (DPV 2.3 has hk, mo and tw). Ours until one takes them up; the table of
# them is in docs/receipts.md. A random UUID, so that they can collide with nobody's.
PIPL_TERMS: Final = "urn:uuid:c0e0c751-82b2-4cda-9138-4198d12212eb#"

_IRI: Final[Mapping[str, object]] = {"@type": "@id"}
_DATE_TIME: Final[Mapping[str, object]] = {"@type": "xsd:dateTime"}
_CONTEXT: Final[Mapping[str, object]] = {
    "dpv": "https://w3id.org/dpv#",
    "pd": "https://w3id.org/dpv/pd#",
    "loc": "https://w3id.org/dpv/loc#",
    "eu-gdpr": "https://w3id.org/dpv/legal/eu/gdpr#",
    "cn-pipl": PIPL_TERMS,
    "dct": "http://purl.org/dc/terms/",
    "dcat": "http://www.w3.org/ns/dcat#",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "schema": "https://schema.org/",
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "spdx": "http://spdx.org/rdf/terms#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    # What is named by an IRI here would be a mere string without these.
    **dict.fromkeys(
        (
            "dct:conformsTo", "dct:publisher", "skos:broader", "spdx:algorithm",
            "dpv:hasDataController", "dpv:hasJurisdiction", "dpv:hasLegalBasis", "dpv:hasLocation",
            "dpv:hasProcessing", "dpv:hasContext", "dpv:hasRecipient", "dpv:isIndicatedBy",
        ),
        _IRI,
    ),
    **dict.fromkeys(("dct:created", "dct:date", "dct:valid", "dpv:isIndicatedAtTime"), _DATE_TIME),
}  # fmt: skip

_RECEIPT_SCHEMA: Final = "https://w3id.org/dpv/schema/dpv-27560#receipt"
_RECORD_SCHEMA: Final = "https://w3id.org/dpv/schema/dpv-27560#record"
_KANTARA_VERSION: Final = "KI-CR-v1.1.0"

_SUBJECT: Final = "dpv:DataSubject"
_CONTROLLER: Final = "dpv:DataController"
# State -> the DPV term, and who says so. A consent made stale by a new notice has run out by its context.
STATES: Final[Mapping[str, tuple[str, str]]] = {
    "unknown": ("dpv:ConsentUnknown", _CONTROLLER),
    "requested": ("dpv:ConsentRequested", _CONTROLLER),
    "given": ("dpv:ConsentGiven", _SUBJECT),
    "renewed": ("dpv:RenewedConsentGiven", _SUBJECT),
    "refused": ("dpv:ConsentRefused", _SUBJECT),
    "deferred": ("dpv:ConsentRequestDeferred", _SUBJECT),
    "withdrawn": ("dpv:ConsentWithdrawn", _SUBJECT),
    "revoked": ("dpv:ConsentRevoked", _CONTROLLER),
    "invalidated": ("dpv:ConsentInvalidated", "dpv:Authority"),
    "expired": ("dpv:ConsentExpired", _CONTROLLER),
    "stale": ("dpv:ConsentExpired", _CONTROLLER),
}
_ALLOW: Final = frozenset({"given", "renewed"})

# Methods of the manifest -> processing in DPV. Deciding automatically is a context there.
_PROCESSING: Final[Mapping[str, str]] = {
    "collect": "dpv:Collect",
    "store": "dpv:Store",
    "use": "dpv:Use",
    "alter": "dpv:Alter",
    "transmit": "dpv:Transmit",
    "provide": "dpv:Disclose",
    "publish": "dpv:Disseminate",
    "delete": "dpv:Erase",
    "combine": "dpv:Combine",
    "profile": "dpv:Profiling",
    "public-images": "dpv:Observe",
}
_DECIDES: Final = "decide-automatically"
_ROLES: Final[Mapping[str, str]] = {
    "processor": "dpv:DataProcessor",
    "joint-controller": "dpv:JointDataControllers",
    "controller": "dpv:ThirdParty",
    "successor": "dpv:ThirdParty",
    "authority": "dpv:Authority",
}
_TELEPHONE: Final = re.compile(r"\+?[0-9][0-9 ()-]{4,}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Party:
    """An organisation. `jurisdiction` is an ISO 3166 code; `address` may be unknown, then its country stands."""

    name: str
    contact: str
    jurisdiction: str | None
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Receiver:
    """A recipient as the manifest declares it: `identifier` is its name there, `kind` one of five."""

    identifier: str
    kind: str
    party: Party


@dataclass(frozen=True, slots=True)
class Shown:
    """The notice that the act was made under. `digest`: SHA-256, in hex, of the exact text shown, if any was."""

    version: str
    language: str
    published_at: datetime
    digest: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a receipt says. Every text is in `shown.language`, every instant has a time zone.

    `recipients` are those whom this consent is about: one when it was asked for one. `stored_in`: one place or
    more. `jurisdictions`: the controller's, then the subject's. `law`: references of the manifest, PIPL-13-1-1.
    `withdrawn_at`: how to withdraw, a URL or in words.
    """

    event_id: UUID
    consent_id: UUID
    subject_id: UUID
    state: str
    at: datetime
    expires_at: datetime | None
    issued_at: datetime
    purpose: str
    purpose_category: str
    purpose_title: str
    law: tuple[str, ...]
    methods: tuple[str, ...]
    categories: tuple[str, ...]
    sensitive: tuple[str, ...]
    keep: str
    at_end: str
    controller: Party
    recipients: tuple[Receiver, ...]
    stored_in: tuple[str, ...]
    jurisdictions: tuple[str, ...]
    shown: Shown
    withdrawn_at: str
    channel: str | None = None
    separate: bool = False
    written: bool = False
    explicit: bool = False
    by_guardian: bool = False


def dpv(facts: Facts) -> dict[str, object]:
    """The receipt as JSON-LD, unsigned: every mandatory element of header, processing, party and event.

    Raises Invalid for a state, method or kind of recipient that has no term.
    """
    receipt = _urn(facts.event_id)
    controller = f"{receipt}#controller"
    return {
        "@context": [dict(_CONTEXT)],
        "@type": "dpv:ConsentReceipt",
        **_identified(receipt),
        "dct:conformsTo": _RECEIPT_SCHEMA,
        "dct:created": _instant(facts.issued_at),
        "dct:publisher": controller,
        "dpv:hasRecordOfActivity": {
            "@type": "dpv:ConsentRecord",
            **_identified(_urn(facts.consent_id)),
            "dct:conformsTo": _RECORD_SCHEMA,
            "dct:language": facts.shown.language,
            "dpv:hasDataSubject": {"@type": _SUBJECT, **_identified(_urn(facts.subject_id))},
            "dpv:hasNotice": _notice(facts),
            "dpv:hasJurisdiction": [_place(code) for code in facts.jurisdictions],
            "dpv:hasProcess": _process(facts, controller, receipt),
            "dpv:hasConsentControl": {"@type": "dpv:WithdrawConsent", "dpv:isExercisedAt": facts.withdrawn_at},
            "dpv:hasRight": _rights(facts),
            "dpv:hasEntity": [
                {"@type": ["dpv:Organisation", _CONTROLLER], **_identified(controller), **_party(facts.controller)},
                *(_receiver(receiver, receipt) for receiver in facts.recipients),
            ],
            "dpv:hasConsentStatus": _status(facts, controller),
        },
    }


def kantara(facts: Facts) -> dict[str, object]:
    """The receipt in the form of Kantara 1.1.0, unsigned.

    That form has no state: whatever is written in it was consented to. Raises Conflict for every other act.
    """
    if facts.state not in _ALLOW:
        raise Conflict(
            "A Kantara receipt can only state a consent that was given",
            zh="Kantara 格式的回执只能记载已作出的同意",
            state=facts.state,
        )
    kind, reached = _reached(facts.controller.contact)
    country = facts.controller.jurisdiction
    address = {"streetAddress": facts.controller.address} if facts.controller.address else {}
    third_parties = [receiver.party.name for receiver in facts.recipients if receiver.kind != "processor"]
    until = f"consent until {_instant(facts.expires_at)}; " if facts.expires_at else ""
    purpose: dict[str, object] = {
        "purpose": facts.purpose_title,
        "purposeCategory": [facts.purpose_category],
        "consentType": "EXPLICIT" if facts.explicit else "EXPRESS: by a clear affirmative act",
        "piiCategory": list(facts.categories),
        "primaryPurpose": False,
        "termination": f"{until}data kept for {facts.keep}, then {_ENDS[facts.at_end]}",
        "thirdPartyDisclosure": bool(third_parties),
    }
    if third_parties:
        purpose["thirdPartyName"] = ", ".join(third_parties)
    return {
        "version": _KANTARA_VERSION,
        "jurisdiction": ", ".join(facts.jurisdictions),
        "consentTimestamp": int(facts.at.timestamp()),
        "collectionMethod": facts.channel or "not recorded",
        "consentReceiptID": str(facts.event_id),
        "language": facts.shown.language,
        "piiPrincipalId": str(facts.subject_id),
        "piiControllers": [
            {
                "piiController": facts.controller.name,
                "contact": facts.controller.contact,
                "address": address | ({"addressCountry": country} if country else {}),
                # Both are required, and a manifest has one contact: the other is empty, not invented.
                "email": reached if kind == "schema:email" else "",
                "phone": reached if kind == "schema:telephone" else "",
            }
        ],
        "policyUrl": facts.shown.url or f"notice {facts.shown.version}",
        "services": [{"service": facts.controller.name, "purposes": [purpose]}],
        "sensitive": bool(facts.sensitive),
        "spiCat": list(facts.sensitive),
    }


_ENDS: Final[Mapping[str, str]] = {"erase": "erased", "anonymise": "anonymised"}


def _process(facts: Facts, controller: str, receipt: str) -> dict[str, object]:
    """The processing fields: what the consent is for."""
    sensitive = frozenset(facts.sensitive)
    process: dict[str, object] = {
        "@type": "dpv:Process",
        "dpv:hasPurpose": {
            "@type": "dpv:Purpose",
            "skos:broader": facts.purpose_category,
            "dct:identifier": facts.purpose,
            "dct:title": facts.purpose_title,
        },
        "dpv:hasLegalBasis": _bases(facts),
        "dpv:hasPersonalData": [
            {
                "@type": "dpv:SensitivePersonalData" if category in sensitive else "dpv:PersonalData",
                "skos:broader": category,
            }
            for category in facts.categories
        ],
        "dpv:hasProcessing": [_term(_PROCESSING, method, "method") for method in facts.methods if method != _DECIDES],
        "dpv:hasDataController": controller,
        # Mandatory, and never empty: where nobody else receives the data, the controller alone does.
        "dpv:hasRecipient": [_party_id(receipt, one) for one in facts.recipients] or [controller],
        "dpv:hasStorageCondition": [
            {"@type": "dpv:StorageLocation", "dpv:hasLocation": [_place(code) for code in facts.stored_in]},
            {"@type": "dpv:StorageDuration", "dpv:hasDuration": facts.keep},
            {"@type": "dpv:StorageDeletion"}
            if facts.at_end == "erase"
            else {"@type": "dpv:StorageCondition", "dpv:hasProcessing": "dpv:Anonymise"},
        ],
    }
    if _DECIDES in facts.methods:
        process["dpv:hasContext"] = "dpv:AutomatedDecisionMaking"
    return process


def _bases(facts: Facts) -> list[str]:
    """The kind of consent, and the articles that it answers; the table of them is in docs/receipts.md."""
    bases = [_consent_type(facts)]
    if _is_chinese(facts):
        bases.append("cn-pipl:A13-1-1")
        bases += ["cn-pipl:SeparateConsent"] if facts.separate else []
        bases += ["cn-pipl:WrittenConsent"] if facts.written else []
        bases += ["cn-pipl:GuardianConsent"] if facts.by_guardian else []
    if _is_european(facts):
        bases.append("eu-gdpr:A6-1-a")
        bases += ["eu-gdpr:A9-2-a"] if facts.explicit and facts.sensitive else []
    return bases


def _rights(facts: Facts) -> list[dict[str, object]]:
    """The right to withdraw, where it is exercised, and where all others are."""
    articles = ["cn-pipl:A15"] * _is_chinese(facts) + ["eu-gdpr:A7-3"] * _is_european(facts)
    return [
        {"@type": ["dpv:DataSubjectRight", *articles], "dpv:isExercisedAt": facts.withdrawn_at},
        {"@type": "dpv:DataSubjectRight", "dpv:isExercisedAt": facts.controller.contact},
    ]


def _notice(facts: Facts) -> dict[str, object]:
    shown = facts.shown
    notice: dict[str, object] = {
        "@type": "dpv:ConsentNotice",
        "dct:identifier": shown.version,
        "dcat:version": shown.version,
        "dct:date": _instant(shown.published_at),
        "dct:language": shown.language,
    }
    if shown.url:
        notice["schema:url"] = shown.url
    if shown.digest:
        notice["spdx:checksum"] = {
            "@type": "spdx:Checksum",
            "spdx:algorithm": "spdx:checksumAlgorithm_sha256",
            "spdx:checksumValue": shown.digest,
        }
    return notice


def _status(facts: Facts, controller: str) -> dict[str, object]:
    """The event: what happened, when, by whose word, and how long it holds."""
    if facts.state not in STATES:
        raise Invalid("There is no receipt for this state of a consent", zh="同意的这一状态没有回执", state=facts.state)
    term, actor = STATES[facts.state]
    if actor == _SUBJECT and facts.by_guardian:
        actor = "dpv:GuardianOfDataSubject"
    lasts = {"@type": "dpv:UntilEventDuration", "rdf:value": "withdrawal" if facts.state in _ALLOW else "next act"}
    status: dict[str, object] = {
        "@type": [term, _consent_type(facts)],
        "dct:identifier": _urn(facts.event_id),
        "dct:date": _instant(facts.at),
        "dpv:isIndicatedAtTime": _instant(facts.at),
        "dpv:isIndicatedBy": controller if actor == _CONTROLLER else actor,
        "dpv:hasDuration": lasts,
    }
    if facts.expires_at:
        status["dct:valid"] = _instant(facts.expires_at)
        status["dpv:hasDuration"] = {"@type": "dpv:UntilTimeDuration", "rdf:value": _instant(facts.expires_at)}
    if facts.channel:
        status["dpv:hasIndicationMethod"] = facts.channel
    return status


def _receiver(receiver: Receiver, receipt: str) -> dict[str, object]:
    role = _term(_ROLES, receiver.kind, "kind of recipient")
    return {
        "@type": ["dpv:Organisation", "dpv:Recipient", role],
        **_identified(_party_id(receipt, receiver)),
        **_party(receiver.party),
    }


def _party(party: Party) -> dict[str, object]:
    kind, reached = _reached(party.contact)
    address: dict[str, object] = {"@type": "schema:PostalAddress"}
    if party.address:
        address["schema:streetAddress"] = party.address
    if party.jurisdiction:
        address["schema:addressCountry"] = party.jurisdiction
    return {
        "dpv:hasName": party.name,
        "dpv:hasContact": party.contact,
        "dpv:hasAddress": address,
        "schema:contactPoint": {"@type": "schema:ContactPoint", kind: reached},
    }


def _identified(iri: str) -> dict[str, object]:
    # The guide asks for dct:identifier in one place and for dpv:hasIdentifier in another: both.
    return {"@id": iri, "dct:identifier": iri, "dpv:hasIdentifier": iri}


def _party_id(receipt: str, receiver: Receiver) -> str:
    return f"{receipt}#recipient-{receiver.identifier}"


def _consent_type(facts: Facts) -> str:
    return "dpv:ExplicitlyExpressedConsent" if facts.explicit else "dpv:ExpressedConsent"


def _is_chinese(facts: Facts) -> bool:
    return any(_country(code) == "CN" for code in facts.jurisdictions) or _rests_on(facts, "PIPL-")


def _is_european(facts: Facts) -> bool:
    return _rests_on(facts, "GDPR-")


def _rests_on(facts: Facts, law: str) -> bool:
    return any(reference.startswith(law) for reference in facts.law)


def _country(code: str) -> str:
    return code.partition("-")[0]


def _place(code: str) -> str:
    """A place of DPV, which has the states of the US and no other part of a country."""
    return f"loc:{code if code.startswith('US-') else _country(code)}"


def _reached(contact: str) -> tuple[str, str]:
    """What kind of contact this is."""
    if "://" in contact:
        return "schema:url", contact
    if "@" in contact:
        return "schema:email", contact
    return ("schema:telephone" if _TELEPHONE.fullmatch(contact) else "schema:description"), contact


def _term(terms: Mapping[str, str], name: str, what: str) -> str:
    if name not in terms:
        raise Invalid(f"There is no term for this {what}", zh="词汇表中没有对应的术语", name=name)
    return terms[name]


def _urn(name: UUID) -> str:
    return f"urn:uuid:{name}"


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
