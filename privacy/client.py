"""The service's REST interface as Python: what a calling service needs, and nothing of the server.

    with PrivacyClient("https://privacy.example.cn", key) as privacy:
        person = privacy.create_subject(jurisdiction="CN")
        privacy.store(person.id, type="member", purposes=["membership"], data={"phone": "13800138000"})
        for record in privacy.records(person.id, purpose="customer-service"):
            print(record.data["phone"])        # 138****8000

Every refusal is raised as the class of `privacy.errors` that the service raised, with its `detail` and `law`;
`error.context` has `status`, `request_id`, `code` as sent and, when told to wait, `retry_after` (seconds).
No personal value stands in a URL, in an exception, in the `repr` of an answer or in a log line of ours.

A request is repeated after a connection error, 429, 502, 503 and 504, with exponential backoff and full
jitter, no sooner than Retry-After asks. Changes carry an Idempotency-Key, the same over all repetitions, so
that a change whose answer was lost is not made twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from types import TracebackType
from typing import BinaryIO, Literal, Self
from uuid import UUID

import httpx

from privacy.client_shapes import (
    Access,
    AccessSummary,
    Cell,
    Choice,
    Consent,
    Decision,
    Erasure,
    Event,
    EventCount,
    Finding,
    Health,
    Hit,
    LifeEvent,
    NewRecord,
    Notice,
    NoticeText,
    OfRecord,
    OfSubject,
    PrivacyBudget,
    Pseudonym,
    PublishedNotice,
    Purpose,
    Record,
    RedactedText,
    Redaction,
    Refusal,
    Release,
    Scan,
    ScannedText,
    Standing,
    Statistic,
    StoredRecord,
    Subject,
    Withheld,
)
from privacy.client_wire import (
    Json,
    Value,
    Wire,
    joined,
    known,
    listed,
    mapping,
    maybe_text,
    number,
    objects,
    refusal,
    segment,
    unknown_form,
)
from privacy.errors import PrivacyError

__all__ = [
    "Access", "AccessSummary", "Cell", "Choice", "Consent", "Decision", "Erasure", "Event", "EventCount", "Finding",
    "Health", "Hit", "Json", "LifeEvent", "NewRecord", "Notice", "NoticeText", "OfRecord", "OfSubject",
    "PrivacyBudget", "PrivacyClient", "Pseudonym", "PublishedNotice", "Purpose", "Record", "RedactedText",
    "Redaction", "Refusal", "Release", "Scan", "ScannedText", "Standing", "Statistic", "StoredRecord", "Subject",
    "Value", "Withheld",
]  # fmt: skip

Language = Literal["zh", "en"]
Point = int | float | str


class PrivacyClient:
    """A connection pool to one service under one API key; threads may share it.

    `timeout` is in seconds and holds for connecting, sending and each wait for bytes; `retries` counts
    repetitions after the first attempt; `language` is that of every sentence of the service, English unless
    named. Every method raises the classes of `privacy.errors`; when the service cannot be reached or does not
    answer, `Unavailable`.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        timeout: float = 10.0,
        retries: int = 3,
        language: Language | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._wire = Wire(
            base_url, api_key, timeout=timeout, retries=retries, language=language, transport=transport, sleep=sleep
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the pool; a second time does nothing."""
        self._wire.close()

    # --- subjects

    def create_subject(
        self,
        *,
        external_id: str | None = None,
        jurisdiction: str = "CN",
        born: date | None = None,
        guardian: str | UUID | None = None,
    ) -> Subject:
        body = {"external_id": external_id, "born": born, "guardian": _id(guardian)}
        return Subject.from_json(
            self._wire.change("POST", "/v1/subjects", {"jurisdiction": jurisdiction} | known(body))
        )

    def subject(self, id: str | UUID) -> Subject:
        return Subject.from_json(self._wire.get(_of(id)))

    def search(self, *, type: str, field: str, value: str, purpose: str) -> list[Hit]:
        """The records whose field equals `value` in any spelling; the value travels in the body."""
        body = {"type": type, "field": field, "value": value, "purpose": purpose}
        return [Hit.from_json(item) for item in objects(self._wire.ask("/v1/subjects/search", body), "items")]

    def decision(
        self,
        subject_id: str | UUID,
        *,
        purpose: str,
        type: str,
        recipient: str | None = None,
        language: Language | None = None,
    ) -> Decision:
        """What `purpose` would be given, or what `recipient` would for it, and why not the rest. Discloses nothing.

        The sentences are in `language`, else in that of the client.
        """
        parameters = {"purpose": purpose, "type": type, "recipient": recipient}
        return Decision.from_json(self._wire.get(_of(subject_id, "decision"), parameters, language=language))

    # --- records

    def store(
        self, subject_id: str | UUID, *, type: str, purposes: Sequence[str], data: Mapping[str, Value]
    ) -> StoredRecord:
        body: dict[str, Value] = {"type": type, "purposes": listed(purposes), "data": data}
        return StoredRecord.from_json(self._wire.change("POST", _of(subject_id, "records"), body))

    def read(
        self,
        record_id: str | UUID,
        *,
        purpose: str,
        fields: Sequence[str] | None = None,
        recipient: str | None = None,
    ) -> Record:
        """What `purpose` may have of the record. `recipient`: to whom it will be provided, unless it stays here."""
        parameters = {"purpose": purpose, "fields": joined(fields), "recipient": recipient}
        return Record.from_json(self._wire.get(f"/v1/records/{segment(record_id)}", parameters))

    def records(
        self,
        subject_id: str | UUID,
        *,
        purpose: str,
        type: str | None = None,
        fields: Sequence[str] | None = None,
        recipient: str | None = None,
    ) -> Iterator[Record]:
        """The subject's records, page after page, each page asked for when it is needed."""
        parameters = {"purpose": purpose, "type": type, "fields": joined(fields), "recipient": recipient}
        for item in self._wire.pages(_of(subject_id, "records"), parameters):
            yield Record.from_json(item, subject_id=str(subject_id))

    def rectify(
        self,
        record_id: str | UUID,
        *,
        version: int,
        data: Mapping[str, Value],
    ) -> StoredRecord:
        """Change the fields in `data` and no others. Raises VersionMismatch unless `version` is current."""
        path = f"/v1/records/{segment(record_id)}"
        return StoredRecord.from_json(self._wire.change("PATCH", path, {"data": data}, version=version))

    def delete(self, record_id: str | UUID, *, version: int | None = None) -> None:
        """Delete the record; with `version` only as long as that is current."""
        self._wire.change("DELETE", f"/v1/records/{segment(record_id)}", None, version=version)

    def write_batch(self, items: Sequence[NewRecord], *, atomic: bool) -> list[StoredRecord | PrivacyError]:
        """Store many records, an outcome for each item in its place; an error stands in the list, not raised.

        With `atomic` all are stored or none: then every entry is an error, Conflict for the items that were
        not at fault.
        """
        wanted: list[Value] = [
            {
                "subject_id": str(item.subject_id),
                "type": item.type,
                "purposes": listed(item.purposes),
                "data": item.data,
            }
            for item in items
        ]
        body: dict[str, Value] = {"mode": "all" if atomic else "each", "items": wanted}
        outcomes = _outcomes(self._wire.change("POST", "/v1/records/batch-write", body), len(items))
        return [
            outcome if isinstance(outcome, PrivacyError) else StoredRecord.from_json(mapping(outcome.get("record")))
            for outcome in outcomes
        ]

    def read_batch(
        self,
        items: Sequence[OfRecord | OfSubject],
        *,
        purpose: str,
        fields: Mapping[str, Sequence[str]] | None = None,
        recipient: str | None = None,
    ) -> list[Record | PrivacyError]:
        """The records of all items, in the order of the items; an error stands in the list, not raised.

        A subject's item gives as many records as there are, also none: records tell their subject, errors
        their item (`error.context["item"]`, counted from 0). `fields` names the fields wanted of each type.
        """
        body: dict[str, Value] = {"purpose": purpose, "items": [_wanted(item) for item in items]}
        body |= known({"recipient": recipient})
        if fields is not None:
            body["fields"] = {type: listed(names) for type, names in fields.items()}
        found: list[Record | PrivacyError] = []
        outcomes = _outcomes(self._wire.ask("/v1/records/batch-read", body), len(items))
        for item, outcome in zip(items, outcomes, strict=True):
            if isinstance(outcome, PrivacyError):
                found.append(outcome)
            else:
                subject_id = str(item.subject_id) if isinstance(item, OfSubject) else None
                found += [Record.from_json(record, subject_id=subject_id) for record in objects(outcome, "records")]
        return found

    # --- consent

    def give_consent(
        self,
        subject_id: str | UUID,
        *,
        purpose: str,
        decision: str = "given",
        notice: str | None = None,
        language: str | None = None,
        separate: bool = False,
        recipient: str | None = None,
        categories: Sequence[str] | None = None,
        written: bool = False,
        explicit: bool = False,
        guardian: str | UUID | None = None,
        channel: str | None = None,
        text: str | None = None,
    ) -> Consent:
        """Record what the subject decided about a purpose: "given", "refused" or "deferred" (see `Choice`).

        Raises NoticeMissing, NoticeOutdated, GuardianConsentMissing, OptedOut.
        """
        choice = Choice(
            purpose, decision, notice, language, recipient, categories, separate, written, explicit, guardian, channel,
            text,
        )  # fmt: skip
        return Consent.from_json(self._wire.change("POST", _of(subject_id, "consents"), _chosen(choice)))

    def record_choices(self, subject_id: str | UUID, choices: Sequence[Choice]) -> list[Consent]:
        """Record several decisions made at once, each an act of its own, in their order; all or none."""
        body: dict[str, Value] = {"choices": [_chosen(choice) for choice in choices]}
        answer = self._wire.change("POST", _of(subject_id, "consents"), body)
        return [Consent.from_json(item) for item in objects(answer, "items")]

    def request_consent(
        self,
        subject_id: str | UUID,
        *,
        purpose: str,
        notice: str | None = None,
        language: str | None = None,
        recipient: str | None = None,
        categories: Sequence[str] | None = None,
        channel: str | None = None,
        text: str | None = None,
    ) -> Consent:
        """Record that the subject is being asked. Raises CoolOff, whose context has `until`, while a no is fresh."""
        choice = Choice(purpose, "requested", notice, language, recipient, categories, channel=channel, text=text)
        return Consent.from_json(self._wire.change("POST", _of(subject_id, "consents"), _chosen(choice)))

    def withdraw_consent(
        self, subject_id: str | UUID, *, purpose: str, recipient: str | None = None, channel: str | None = None
    ) -> Consent:
        """Withdraw; from the next read on the purpose gets nothing.

        Without a recipient, of the purpose and of every recipient for it.
        """
        path = _of(subject_id, "consents", purpose, "withdraw")
        body = known({"recipient": recipient, "channel": channel})
        return Consent.from_json(self._wire.change("POST", path, body or None))

    def consents(
        self,
        subject_id: str | UUID,
        *,
        history: bool = False,
        at: datetime | None = None,
        purpose: str | None = None,
    ) -> list[Consent]:
        """How the consents stand, or stood `at` an instant (with its time zone); with `history` every act."""
        parameters = {
            "history": "true" if history else None,
            "at": None if at is None else at.isoformat(),
            "purpose": purpose,
        }
        return [Consent.from_json(item) for item in self._wire.pages(_of(subject_id, "consents"), parameters)]

    def receipt(
        self, subject_id: str | UUID, consent_id: str | UUID, *, format: Literal["dpv", "kantara"] = "dpv"
    ) -> dict[str, Json]:
        """A signed receipt of the consent as it stands: the document itself, to be kept as it is.

        "dpv": JSON-LD, ISO/IEC TS 27560; "kantara": v1.1, which exists only for what was given.
        """
        return self._wire.get(_of(subject_id, "consents", str(consent_id), "receipt"), {"format": format})

    def notices(self) -> list[PublishedNotice]:
        """Every published notice, the newest first."""
        return [PublishedNotice.from_json(item) for item in self._wire.pages("/v1/notices", {})]

    def notice(self, version: str, *, language: str | None = None) -> Notice:
        """A notice in `language`, "zh" or "en" with any region, else in its first. Raises NotFound."""
        return Notice.from_json(self._wire.get(f"/v1/notices/{segment(version)}", {"language": language}))

    # --- what else stands between a subject and a purpose

    def standing(self, subject_id: str | UUID) -> list[Standing]:
        """Recorded bases, objections and restrictions as they are now; what concerns all purposes first."""
        return [Standing.from_json(item) for item in self._wire.pages(_of(subject_id, "standing"), {})]

    def record_basis(
        self,
        subject_id: str | UUID,
        *,
        purpose: str,
        starts_at: datetime,
        ends_at: datetime | None = None,
        reference: str | None = None,
        channel: str | None = None,
    ) -> Standing:
        """Record that a basis other than consent holds for the subject from `starts_at` until `ends_at`."""
        body: dict[str, Value] = {"purpose": purpose, "starts_at": starts_at}
        body |= known({"ends_at": ends_at, "reference": reference, "channel": channel})
        return self._stand(subject_id, "bases", body)

    def end_basis(
        self,
        subject_id: str | UUID,
        *,
        purpose: str,
        ends_at: datetime | None = None,
        channel: str | None = None,
    ) -> Standing:
        """Record that the basis ends, now unless `ends_at` says otherwise."""
        body = known({"purpose": purpose, "ends_at": ends_at, "channel": channel})
        return self._stand(subject_id, "bases/end", body)

    def object_to(
        self, subject_id: str | UUID, *, purpose: str, reason: str | None = None, channel: str | None = None
    ) -> Standing:
        """Record the subject's objection; from the next read on the purpose gets nothing (GDPR 21, PIPL 44)."""
        body = known({"purpose": purpose, "reason": reason, "channel": channel})
        return self._stand(subject_id, "objections", body)

    def lift_objection(
        self, subject_id: str | UUID, *, purpose: str, reason: str | None = None, channel: str | None = None
    ) -> Standing:
        """Take an objection back. Operators only."""
        body = known({"purpose": purpose, "reason": reason, "channel": channel})
        return self._stand(subject_id, "objections/lift", body)

    def restrict(
        self,
        subject_id: str | UUID,
        *,
        purpose: str | None = None,
        reason: str | None = None,
        channel: str | None = None,
    ) -> Standing:
        """Stop everything but storage, for one purpose or for all (GDPR 18, PIPL 44)."""
        body = known({"purpose": purpose, "reason": reason, "channel": channel})
        return self._stand(subject_id, "restrictions", body)

    def lift_restriction(
        self,
        subject_id: str | UUID,
        *,
        purpose: str | None = None,
        reason: str | None = None,
        channel: str | None = None,
    ) -> Standing:
        """Let processing go on; the subject must have been told before (GDPR 18(3)). Operators only."""
        body = known({"purpose": purpose, "reason": reason, "channel": channel})
        return self._stand(subject_id, "restrictions/lift", body)

    def _stand(self, subject_id: str | UUID, what: str, body: Mapping[str, Value]) -> Standing:
        return Standing.from_json(self._wire.change("POST", f"{_of(subject_id)}/{what}", body))

    # --- the end of a life

    def record_life_event(self, subject_id: str | UUID, event: str, *, at: datetime | None = None) -> LifeEvent:
        """Say that something happened which storage periods count from: "last-activity", or what the manifest names.

        `at`: when, if not now. The records held for those purposes end accordingly, at once.
        """
        return LifeEvent.from_json(
            self._wire.change("POST", f"{_of(subject_id)}/events", known({"event": event, "at": at}))
        )

    def erase(
        self,
        subject_id: str | UUID,
        *,
        types: Sequence[str] = (),
        purposes: Sequence[str] = (),
        fields: Sequence[str] = (),
        reason: str = "request",
    ) -> Erasure:
        """Erase the subject, or what any of the three names (`fields` as "type.field").

        What a legal hold or a statutory period keeps is restricted, and goes by itself when that ends.
        """
        body = {"types": list(types), "purposes": list(purposes), "fields": list(fields), "reason": reason}
        return Erasure.from_json(self._wire.change("POST", f"{_of(subject_id)}/erasures", body))

    def erasures(self, subject_id: str | UUID) -> list[Erasure]:
        """The erasures of a subject, the oldest first; of an erased one too."""
        return [Erasure.from_json(item) for item in self._wire.pages(f"{_of(subject_id)}/erasures", {})]

    def erasure_certificate(self, erasure_id: str | UUID) -> dict[str, Json]:
        """The signed certificate, to be kept as it is. Raises NotFound while nothing has been erased."""
        return self._wire.get(f"/v1/erasures/{segment(str(erasure_id))}/certificate", {})

    # --- texts of one's own

    def scan(self, texts: str | Sequence[str], *, languages: Sequence[str] | None = None) -> Scan:
        """What is personal in a text, or in each of up to 100; the service keeps nothing of them."""
        body: dict[str, Value] = {"texts": listed(texts)}
        return Scan.from_json(self._wire.ask("/v1/scan", body | known({"languages": _names(languages)})))

    def redact(
        self,
        texts: str | Sequence[str],
        *,
        how: Literal["replace", "mask", "hash", "pseudonym"] = "replace",
        keep: Sequence[str] = (),
        languages: Sequence[str] | None = None,
        subject_id: str | UUID | None = None,
        purpose: str | None = None,
    ) -> Redaction:
        """The texts without what is personal in them, which makes them de-identified and not anonymous.

        `keep` names levels ("L2") and entities that stay. A "pseudonym" is the same for the same value of one subject
        for one purpose, both of which it needs; a "hash" is the same everywhere.
        """
        body: dict[str, Value] = {"texts": listed(texts), "how": how, "keep": listed(keep)}
        body |= known({"languages": _names(languages), "subject_id": _id(subject_id), "purpose": purpose})
        return Redaction.from_json(self._wire.ask("/v1/redact", body))

    # --- many subjects at once, and one under another name

    def ask_statistic(
        self,
        statistic: Literal["count", "sum", "mean", "histogram", "quantile"],
        *,
        purpose: str,
        type: str,
        rho: float,
        contributions: int,
        field: str | None = None,
        bounds: tuple[Point, Point] | None = None,
        keys: Sequence[str | int | bool] | None = None,
        edges: Sequence[Point] | None = None,
        candidates: Sequence[Point] | None = None,
        rank: float | None = None,
        decimals: int | None = None,
        as_of: date | None = None,
        clamp: bool = False,
    ) -> Statistic:
        """A statistic with differential privacy, which costs `rho` unless the same was asked that day.

        Bounds, keys, edges and candidates are public, never taken from the data; `contributions` rows of one person
        count. Dates among them are written in ISO 8601. Raises BudgetExhausted, BudgetUndeclared, Invalid.
        """
        body: dict[str, Value] = {
            "statistic": statistic,
            "purpose": purpose,
            "type": type,
            "rho": rho,
            "contributions": contributions,
            "clamp": clamp,
        }
        more: dict[str, Value] = {
            "field": field,
            "bounds": bounds,
            "keys": keys,
            "edges": edges,
            "candidates": candidates,
            "rank": rank,
            "decimals": decimals,
            "as_of": as_of,
        }
        return Statistic.from_json(self._wire.ask("/v1/statistics", body | known(more)))

    def privacy_budgets(self) -> list[PrivacyBudget]:
        """What may still be told of the record types that the key is granted, of all analysts and of its own part."""
        return [PrivacyBudget.from_json(item) for item in self._wire.pages("/v1/privacy-budgets", {})]

    def pseudonym(self, subject_id: str | UUID, *, purpose: str, recipient: str) -> Pseudonym:
        """What `recipient` may know the subject by for `purpose`: de-identified, gone with the subject's key."""
        body: dict[str, Value] = {"purpose": purpose, "recipient": recipient}
        return Pseudonym.from_json(self._wire.ask(_of(subject_id, "pseudonyms"), body))

    # --- releases

    def ask_release(
        self,
        *,
        recipient: str,
        recipient_class: Literal["public", "controlled"],
        purpose: str,
        type: str,
        fields: Sequence[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        policy: Mapping[str, Value] | None = None,
        hierarchies: Mapping[str, Value] | None = None,
        table: Mapping[str, Value] | None = None,
    ) -> Release:
        """Ask for a release of records; a job makes and checks it, and a second person must approve it.

        `policy` holds k, suppression, max_loss, recoding and rules for sensitive columns; `hierarchies` say otherwise
        than the manifest. With `table` ({"by": [...], "sum": ...}) counts are released, not rows.
        """
        records = known({"purpose": purpose, "type": type, "since": since, "until": until})
        records |= {} if fields is None else {"fields": listed(fields)}
        body: dict[str, Value] = {
            "records": records,
            "recipient": recipient,
            "recipient_class": recipient_class,
            "kind": "microdata" if table is None else "table",
        }
        body |= known({"policy": policy, "hierarchies": hierarchies, "table": table})
        return Release.from_json(self._wire.change("POST", "/v1/releases", body))

    def releases(self, *, due: bool = False) -> list[Release]:
        """The newest first; with `due` those that must be assessed again."""
        parameters = {"due": "true" if due else None}
        return [Release.from_json(item) for item in self._wire.pages("/v1/releases", parameters)]

    def release(self, release_id: str | UUID) -> Release:
        return Release.from_json(self._wire.get(f"/v1/releases/{segment(str(release_id))}"))

    def approve_release(self, release_id: str | UUID) -> Release:
        """The second person's yes. Raises ReleaseStale when it must be made again, Forbidden for whoever asked."""
        return Release.from_json(self._wire.send("POST", f"/v1/releases/{segment(str(release_id))}/approve", retries=0))

    def reject_release(self, release_id: str | UUID) -> Release:
        return Release.from_json(self._wire.send("POST", f"/v1/releases/{segment(str(release_id))}/reject", retries=0))

    def release_data(
        self, release_id: str | UUID, file: BinaryIO, *, format: Literal["csv", "parquet"] = "csv"
    ) -> None:
        """Write the release's file. Raises NotAnonymised until a second person has approved it."""
        self._wire.download(f"/v1/releases/{segment(str(release_id))}/data", None, file.write, {"format": format})

    def release_risk(self, release_id: str | UUID) -> dict[str, Json]:
        """The risk report, as the service gives it."""
        return self._wire.get(f"/v1/releases/{segment(str(release_id))}/risk")

    def release_sheet(self, release_id: str | UUID) -> dict[str, Json]:
        """The data sheet that goes with the file."""
        return self._wire.get(f"/v1/releases/{segment(str(release_id))}/sheet")

    # --- the service itself

    def events(self, **filters: str | int | date | UUID | None) -> Iterator[Event]:
        """The audit log, page after page; `filters` are the service's own: subject, actor, purpose, ..."""
        for item in self._wire.pages("/v1/audit/events", _told(filters)):
            yield Event.from_json(item)

    def events_from(self, address: str, **filters: str | int | date | UUID | None) -> Iterator[Event]:
        """The events that came from an IP address; it travels in the body, and the log keeps a keyed hash of it."""
        body: dict[str, Value] = {"address": address, **known(_told(filters))}
        while True:
            answer = self._wire.ask("/v1/audit/events/search", body)
            yield from map(Event.from_json, objects(answer, "items"))
            last, cursor = body.get("cursor"), maybe_text(answer, "next_cursor")
            if cursor is None:
                return
            if cursor == last:
                raise unknown_form()
            body["cursor"] = cursor

    def event_counts(self, by: str, **filters: str | int | date | UUID | None) -> list[EventCount]:
        """How many events match, by "hour", "day", "action", "actor", "purpose" or "outcome"."""
        return [
            EventCount.from_json(item) for item in self._wire.pages("/v1/audit/counts", {"by": by, **_told(filters)})
        ]

    def accesses(self, subject_id: str | UUID) -> Iterator[Access]:
        """Who looked at the subject's data, look by look, the newest first."""
        for item in self._wire.pages(_of(subject_id, "accesses"), {}):
            yield Access.from_json(item)

    def access_summary(self, subject_id: str | UUID) -> list[AccessSummary]:
        """The same in sum: one entry for each component, role and kind of look."""
        answer = self._wire.get(_of(subject_id, "accesses"), {"limit": "1"})
        return [AccessSummary.from_json(item) for item in objects(answer, "components")]

    def export_audit(
        self,
        file: BinaryIO,
        *,
        kind: Literal["log", "selection"] = "selection",
        form: Literal["ndjson", "csv", "parquet", "ocsf"] | None = None,
        **filters: str | date | UUID | None,
    ) -> None:
        """Write the export to `file`, a zip that `privacy audit verify` checks; it is never held as a whole.

        Raises Unavailable when it breaks off: what is in the file then is a part, and is no zip.
        """
        body: dict[str, Value] = {"kind": kind, **known({"form": form, **_told(filters)})}
        self._wire.download("/v1/audit/exports", body, file.write)

    def exposure(
        self,
        *,
        principal: str | None = None,
        key: str | None = None,
        key_id: str | None = None,
        address: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> dict[str, Json]:
        """Whose data a principal, a leaked key or an address has seen: the answer as the service gives it.

        By subject, `limit` at once; `next_cursor` is where the next page starts, null at the end. `totals` come
        with the first page.
        """
        body: dict[str, Value] = {
            "principal": principal,
            "key": key,
            "key_id": key_id,
            "address": address,
            "since": since,
            "until": until,
            "limit": limit,
            "cursor": cursor,
        }
        return self._wire.ask("/v1/audit/exposure", known(body))

    def purposes(self) -> list[Purpose]:
        return [Purpose.from_json(item) for item in self._wire.pages("/v1/purposes", {})]

    def health(self) -> Health:
        """Whether the process is alive; asked once, never repeated."""
        return Health(maybe_text(self._wire.send("GET", "/healthz", retries=0), "status") or "ok")


def _of(subject_id: str | UUID, *parts: str) -> str:
    """The path of a subject, or of something of it."""
    return "/".join(("/v1/subjects", segment(subject_id), *map(segment, parts)))


def _told(filters: Mapping[str, str | int | date | UUID | None]) -> dict[str, str | None]:
    """Filters as the service reads them, in a query as in a body."""
    return {
        name: value.isoformat() if isinstance(value, date) else None if value is None else str(value)
        for name, value in filters.items()
    }


def _id(id: str | UUID | None) -> str | None:
    return None if id is None else str(id)


def _names(names: Sequence[str] | None) -> list[str] | None:
    return None if names is None else listed(names)


def _wanted(item: OfRecord | OfSubject) -> dict[str, Value]:
    if isinstance(item, OfRecord):
        return {"record_id": str(item.record_id)}
    return {"subject_id": str(item.subject_id)} | known({"type": item.type})


def _chosen(choice: Choice) -> dict[str, Value]:
    body: dict[str, Value] = {"purpose": choice.purpose, "decision": choice.decision}
    flags = {"separate": choice.separate, "written": choice.written, "explicit": choice.explicit}
    body |= {name: True for name, is_set in flags.items() if is_set}
    return body | known(
        {
            "notice": choice.notice,
            "language": choice.language,
            "recipient": choice.recipient,
            "categories": None if choice.categories is None else listed(choice.categories),
            "guardian": _id(choice.guardian),
            "channel": choice.channel,
            "text": choice.text,
        }
    )


def _outcomes(answer: Mapping[str, Json], count: int) -> list[dict[str, Json] | PrivacyError]:
    outcomes: list[dict[str, Json] | PrivacyError] = []
    for place, item in enumerate(objects(answer, "items")):
        status = number(item, "status")
        if 200 <= status < 300:
            outcomes.append(item)
        else:
            outcomes.append(refusal(mapping(item.get("error")), status=status, item=place))
    if len(outcomes) != count:
        raise unknown_form()
    return outcomes
