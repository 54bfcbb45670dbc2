"""Consent receipts in both forms, and `privacy consent verify` on them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import jsonschema_rs
import pytest
import typer
from typer.testing import CliRunner

from cli import receipts as commands
from keys.secret import Secret
from keys.signing import Signer, VerifierKey
from privacy import receipt_forms, signed_documents
from privacy.errors import Conflict, Invalid
from privacy.receipt_forms import Facts, Party, Receiver, Shown

KANTARA = json.loads((Path(__file__).parent / "vectors" / "kantara-1.1.0.schema.json").read_text(encoding="utf-8"))
EVENT = UUID("0195a000-0000-7000-8000-000000000001")
CONSENT = UUID("0195a000-0000-7000-8000-000000000002")
SUBJECT = UUID("0195a000-0000-7000-8000-000000000003")
AT = datetime(2026, 3, 1, 8, 30, tzinfo=UTC)
ENDS = datetime(2027, 3, 1, 8, 30, tzinfo=UTC)
DIGEST = "5e" * 32
PRINTER = Receiver("printer", "processor", Party("Printer Ltd", "+86 10 5550 1234", "CN"))
PARTNER = Receiver("partner", "controller", Party("Partner GmbH", "https://partner.example/privacy", "DE", "Ring 1"))

FACTS = Facts(
    event_id=EVENT,
    consent_id=CONSENT,
    subject_id=SUBJECT,
    state="given",
    at=AT,
    expires_at=ENDS,
    issued_at=datetime(2026, 3, 2, tzinfo=UTC),
    purpose="marketing",
    purpose_category="dpv:Marketing",
    purpose_title="营销推广",
    law=("PIPL-13-1-1", "GDPR-6-1-a"),
    methods=("collect", "store", "use", "profile"),
    categories=("pd:TelephoneNumber", "pd:Health"),
    sensitive=("pd:Health",),
    keep="P1Y",
    at_end="erase",
    controller=Party("示例运营有限公司", "privacy@example.cn", "CN"),
    recipients=(PRINTER, PARTNER),
    stored_in=("CN",),
    jurisdictions=("CN",),
    shown=Shown("2026-01", "zh-CN", datetime(2026, 1, 1, tzinfo=UTC), DIGEST, "https://example.cn/notices/1"),
    withdrawn_at="https://example.cn/consents",
    channel="web",
    separate=True,
    explicit=True,
)


def signer(seed: bytes = bytes(range(32))) -> Signer:
    return Signer("privacy.example/receipts", Secret(bytearray(seed)))


def record(facts: Facts) -> Any:
    return receipt_forms.dpv(facts)["dpv:hasRecordOfActivity"]


# -- ISO/IEC TS 27560 through DPV-27560 -------------------------------------------------------------------------------

# Every field that the guide marks as one that must be present, by its name in ISO/IEC TS 27560:2023, and where it is.
MANDATORY: dict[str, Callable[[Any], object]] = {
    "receipt schema_version": lambda receipt: receipt["dct:conformsTo"],
    "receipt_id": lambda receipt: receipt["dct:identifier"],
    "receipt created": lambda receipt: receipt["dct:created"],
    "receipt record": lambda receipt: receipt["dpv:hasRecordOfActivity"],
    "schema_version": lambda receipt: receipt["dpv:hasRecordOfActivity"]["dct:conformsTo"],
    "record_id": lambda receipt: receipt["dpv:hasRecordOfActivity"]["dct:identifier"],
    "pii_principal_id": lambda receipt: receipt["dpv:hasRecordOfActivity"]["dpv:hasDataSubject"]["dct:identifier"],
    "privacy_notice": lambda receipt: receipt["dpv:hasRecordOfActivity"]["dpv:hasNotice"]["dct:identifier"],
    "language": lambda receipt: receipt["dpv:hasRecordOfActivity"]["dpv:hasNotice"]["dct:language"],
    "purpose": lambda receipt: process(receipt)["dpv:hasPurpose"]["dct:title"],
    "purpose_type": lambda receipt: process(receipt)["dpv:hasPurpose"]["skos:broader"],
    "lawful_basis": lambda receipt: process(receipt)["dpv:hasLegalBasis"],
    "pii_information": lambda receipt: process(receipt)["dpv:hasPersonalData"],
    "pii_type": lambda receipt: [data["skos:broader"] for data in process(receipt)["dpv:hasPersonalData"]],
    "pii_controllers": lambda receipt: process(receipt)["dpv:hasDataController"],
    "storage_locations": lambda receipt: process(receipt)["dpv:hasStorageCondition"][0]["dpv:hasLocation"],
    "retention_period": lambda receipt: process(receipt)["dpv:hasStorageCondition"][1]["dpv:hasDuration"],
    "jurisdiction": lambda receipt: receipt["dpv:hasRecordOfActivity"]["dpv:hasJurisdiction"],
    "recipient_third_parties": lambda receipt: process(receipt)["dpv:hasRecipient"],
    "withdrawal_method": lambda receipt: receipt["dpv:hasRecordOfActivity"]["dpv:hasConsentControl"][
        "dpv:isExercisedAt"
    ],
    "privacy_rights": lambda receipt: receipt["dpv:hasRecordOfActivity"]["dpv:hasRight"],
    "party_id": lambda receipt: [party["dpv:hasIdentifier"] for party in parties(receipt)],
    "party_name": lambda receipt: [party["dpv:hasName"] for party in parties(receipt)],
    "party_address": lambda receipt: [party["dpv:hasAddress"]["schema:addressCountry"] for party in parties(receipt)],
    "party_contact": lambda receipt: [party["dpv:hasContact"] for party in parties(receipt)],
    "party_type": lambda receipt: [party["@type"][1] for party in parties(receipt)],
    "event_time": lambda receipt: event(receipt)["dpv:isIndicatedAtTime"],
    "validity_duration": lambda receipt: event(receipt)["dpv:hasDuration"]["rdf:value"],
    "entity_id": lambda receipt: event(receipt)["dpv:isIndicatedBy"],
    "event_type": lambda receipt: event(receipt)["@type"][1],
    "event_state": lambda receipt: event(receipt)["@type"][0],
}


def process(receipt: Any) -> Any:
    return receipt["dpv:hasRecordOfActivity"]["dpv:hasProcess"]


def parties(receipt: Any) -> Any:
    return receipt["dpv:hasRecordOfActivity"]["dpv:hasEntity"]


def event(receipt: Any) -> Any:
    return receipt["dpv:hasRecordOfActivity"]["dpv:hasConsentStatus"]


BARE = replace(
    FACTS,
    expires_at=None,
    recipients=(),
    sensitive=(),
    law=(),
    jurisdictions=("US-CA",),
    shown=replace(FACTS.shown, digest=None, url=None),
    channel=None,
    separate=False,
    explicit=False,
)


@pytest.mark.parametrize("field", MANDATORY)
@pytest.mark.parametrize("facts", [FACTS, BARE], ids=["all", "bare"])
def test_every_mandatory_field_is_there(facts: Facts, field: str) -> None:
    found = MANDATORY[field](receipt_forms.dpv(facts))
    assert found
    assert "" not in (found if isinstance(found, list) else [found])


def test_whatever_has_an_identifier_says_it_in_both_ways() -> None:
    def check(value: Any) -> int:
        if isinstance(value, list):
            return sum(map(check, value))
        if not isinstance(value, dict):
            return 0
        if "@id" in value and value["@id"] != "@id" and "@type" in value:
            assert value["dct:identifier"] == value["dpv:hasIdentifier"] == value["@id"]
        return ("dpv:hasIdentifier" in value) + sum(map(check, value.values()))

    assert check({name: value for name, value in receipt_forms.dpv(FACTS).items() if name != "@context"}) == 6


def test_every_prefix_is_in_the_context_of_the_document() -> None:
    receipt = receipt_forms.dpv(FACTS)
    context: Any = receipt.pop("@context")
    used = set()

    def walk(value: Any) -> None:
        match value:
            case dict():
                for key, each in value.items():
                    used.add(key.partition(":")[0])
                    walk(each)
            case list():
                for each in value:
                    walk(each)
            case str() if ":" in value and "://" not in value and " " not in value:
                used.add(value.partition(":")[0])

    walk(receipt)
    prefixes = {name for name in used if not name.startswith("@") and name != "urn" and not name.startswith("20")}
    assert prefixes <= context[0].keys()
    assert {"dpv", "pd", "loc", "cn-pipl", "eu-gdpr", "spdx"} <= prefixes


@pytest.mark.parametrize(
    ("state", "term"),
    [
        ("requested", "dpv:ConsentRequested"),
        ("given", "dpv:ConsentGiven"),
        ("renewed", "dpv:RenewedConsentGiven"),
        ("refused", "dpv:ConsentRefused"),
        ("deferred", "dpv:ConsentRequestDeferred"),
        ("withdrawn", "dpv:ConsentWithdrawn"),
        ("revoked", "dpv:ConsentRevoked"),
        ("invalidated", "dpv:ConsentInvalidated"),
        ("expired", "dpv:ConsentExpired"),
        ("stale", "dpv:ConsentExpired"),
        ("unknown", "dpv:ConsentUnknown"),
    ],
)
def test_each_state_has_its_term(state: str, term: str) -> None:
    assert record(replace(FACTS, state=state))["dpv:hasConsentStatus"]["@type"][0] == term


@pytest.mark.parametrize(
    ("state", "by_guardian", "actor"),
    [
        ("given", False, "dpv:DataSubject"),
        ("given", True, "dpv:GuardianOfDataSubject"),
        ("withdrawn", True, "dpv:GuardianOfDataSubject"),
        ("revoked", True, f"urn:uuid:{EVENT}#controller"),
        ("requested", False, f"urn:uuid:{EVENT}#controller"),
        ("invalidated", False, "dpv:Authority"),
    ],
)
def test_the_event_says_by_whose_word_it_happened(state: str, by_guardian: bool, actor: str) -> None:
    status = record(replace(FACTS, state=state, by_guardian=by_guardian))["dpv:hasConsentStatus"]
    assert status["dpv:isIndicatedBy"] == actor


def test_the_bases_name_the_articles_of_the_law_that_applies() -> None:
    def bases(**changes: Any) -> list[str]:
        found: list[str] = record(replace(BARE, **changes))["dpv:hasProcess"]["dpv:hasLegalBasis"]
        return found

    assert bases() == ["dpv:ExpressedConsent"]
    assert bases(explicit=True) == ["dpv:ExplicitlyExpressedConsent"]
    assert bases(jurisdictions=("CN",)) == ["dpv:ExpressedConsent", "cn-pipl:A13-1-1"]
    assert bases(jurisdictions=("DE", "CN-31"), separate=True, written=True, by_guardian=True)[1:] == [
        "cn-pipl:A13-1-1",
        "cn-pipl:SeparateConsent",
        "cn-pipl:WrittenConsent",
        "cn-pipl:GuardianConsent",
    ]
    assert bases(law=("GDPR-6-1-a",), explicit=True)[1:] == ["eu-gdpr:A6-1-a"]
    assert bases(law=("GDPR-6-1-a",), explicit=True, sensitive=("pd:Health",))[1:] == [
        "eu-gdpr:A6-1-a",
        "eu-gdpr:A9-2-a",
    ]
    # The PIPL knows separate consent; elsewhere the word would claim a law that does not apply.
    assert bases(separate=True) == ["dpv:ExpressedConsent"]


def test_the_notice_is_named_by_version_language_and_the_digest_of_what_was_shown() -> None:
    notice = record(FACTS)["dpv:hasNotice"]
    assert notice["dcat:version"] == "2026-01"
    assert notice["dct:language"] == "zh-CN"
    assert notice["spdx:checksum"]["spdx:checksumValue"] == DIGEST
    assert "spdx:checksum" not in record(BARE)["dpv:hasNotice"]


def test_sensitive_categories_are_marked_and_the_others_are_not() -> None:
    kinds = {data["skos:broader"]: data["@type"] for data in record(FACTS)["dpv:hasProcess"]["dpv:hasPersonalData"]}
    assert kinds == {"pd:TelephoneNumber": "dpv:PersonalData", "pd:Health": "dpv:SensitivePersonalData"}


def test_without_recipients_the_controller_alone_receives_the_data() -> None:
    found = record(BARE)["dpv:hasProcess"]
    assert found["dpv:hasRecipient"] == [found["dpv:hasDataController"]]


def test_deciding_automatically_is_said_and_what_is_anonymised_is_not_said_to_be_deleted() -> None:
    made = record(replace(FACTS, methods=("use", "decide-automatically"), at_end="anonymise"))["dpv:hasProcess"]
    assert made["dpv:hasContext"] == "dpv:AutomatedDecisionMaking"
    assert made["dpv:hasProcessing"] == ["dpv:Use"]
    assert made["dpv:hasStorageCondition"][2]["dpv:hasProcessing"] == "dpv:Anonymise"
    assert "dpv:StorageDeletion" not in json.dumps(made)


@pytest.mark.parametrize("field", [{"state": "maybe"}, {"methods": ("juggle",)}], ids=["state", "method"])
def test_what_has_no_term_is_no_receipt(field: Any) -> None:
    with pytest.raises(Invalid):
        receipt_forms.dpv(replace(FACTS, **field))


def test_times_are_in_utc() -> None:
    assert record(FACTS)["dpv:hasConsentStatus"]["dct:valid"] == "2027-03-01T08:30:00Z"
    assert receipt_forms.dpv(FACTS)["dct:created"] == "2026-03-02T00:00:00Z"


# -- Kantara ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("facts", [FACTS, BARE, replace(FACTS, recipients=(PRINTER,))], ids=["all", "bare", "printer"])
def test_the_kantara_form_follows_the_table_of_its_specification(facts: Facts) -> None:
    made = signed_documents.sign(receipt_forms.kantara(facts), signer(), created=AT)
    jsonschema_rs.validator_for(KANTARA).validate(made)
    assert made["consentTimestamp"] == 1772353800


def test_the_schema_of_kantara_tells_a_receipt_from_what_is_none() -> None:
    validator = jsonschema_rs.validator_for(KANTARA)
    made = receipt_forms.kantara(FACTS)
    for name in KANTARA["required"]:
        assert not validator.is_valid({key: value for key, value in made.items() if key != name})
    assert not validator.is_valid(made | {"spiCat": []})


def test_entrusting_a_processor_is_no_disclosure_to_a_third_party() -> None:
    def purpose(facts: Facts) -> Any:
        services: Any = receipt_forms.kantara(facts)["services"]
        return services[0]["purposes"][0]

    assert purpose(FACTS)["thirdPartyName"] == "Partner GmbH"
    assert purpose(replace(FACTS, recipients=(PRINTER,)))["thirdPartyDisclosure"] is False


@pytest.mark.parametrize("state", sorted(receipt_forms.STATES.keys() - {"given", "renewed"}))
def test_kantara_has_no_receipt_for_what_was_not_agreed_to(state: str) -> None:
    with pytest.raises(Conflict):
        receipt_forms.kantara(replace(FACTS, state=state))


# -- privacy consent verify -------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "receipt.json"


def run(file: Path, *options: str, own: VerifierKey | None = None, lang: str = "en_GB.UTF-8") -> Any:
    app = typer.Typer()

    @app.command()
    def verify(
        file: Path,
        key: Annotated[str | None, typer.Option()] = None,
        as_json: Annotated[bool, typer.Option("--json")] = False,
    ) -> None:
        commands.verify(file, key, as_json, own=lambda: [own] if own else [])

    return CliRunner().invoke(app, [str(file), *options], env={"LANG": lang, "LC_ALL": "", "LC_MESSAGES": ""})


def issue(file: Path, document: dict[str, object]) -> dict[str, Any]:
    made = signed_documents.sign(document, signer(), created=AT)
    file.write_text(json.dumps(made, ensure_ascii=False), encoding="utf-8")
    return made


@pytest.mark.parametrize("form", [receipt_forms.dpv, receipt_forms.kantara], ids=["dpv", "kantara"])
def test_a_receipt_verifies_offline_and_says_what_it_states(
    form: Callable[[Facts], dict[str, object]], file: Path
) -> None:
    issue(file, form(FACTS))
    done = run(file, "--key", signer().vkey)
    assert done.exit_code == 0, done.stderr
    for said in (
        "营销推广",
        "given",
        "2026-03-01 08:30:00",
        "示例运营有限公司",
        "Partner GmbH",
        "trusted key",
        signer().vkey,
    ):
        assert said in done.stdout
    assert ("2026-01" if form is receipt_forms.dpv else "https://example.cn/notices/1") in done.stdout
    assert ("2027-03-01 08:30:00" in done.stdout) == (form is receipt_forms.dpv)


def test_it_speaks_chinese_where_the_terminal_does(file: Path) -> None:
    issue(file, receipt_forms.dpv(replace(FACTS, state="withdrawn")))
    done = run(file, "--key", signer().vkey, lang="zh_CN.UTF-8")
    assert "已撤回" in done.stdout
    assert "回执完整" in done.stdout
    assert "Purpose" not in done.stdout


def test_every_state_can_be_said(file: Path) -> None:
    for state in receipt_forms.STATES.keys() - {"stale"}:
        issue(file, receipt_forms.dpv(replace(FACTS, state=state)))
        assert json.loads(run(file, "--key", signer().vkey, "--json").stdout)["states"]["state"] == state


def test_the_key_of_the_deployment_stands_in_for_one_given(file: Path) -> None:
    issue(file, receipt_forms.dpv(FACTS))
    assert run(file, own=signer().verifier).exit_code == 0
    other = signer(bytes(range(1, 33)))
    assert run(file, own=other.verifier).exit_code == 1
    assert run(file, "--key", signer().vkey, own=other.verifier).exit_code == 0


def test_a_receipt_whose_key_nobody_vouches_for_is_intact_and_not_trusted(file: Path) -> None:
    issue(file, receipt_forms.dpv(FACTS))
    done = run(file)
    assert done.exit_code == 0
    assert "营销推广" in done.stdout
    assert "Warning" in done.stderr
    found = json.loads(run(file, "--json").stdout)
    assert (found["intact"], found["trusted"], found["name"]) == (True, False, None)
    assert found["key"].startswith("did:key:z6Mk")


def test_a_changed_receipt_is_refused_and_nothing_of_it_is_shown(file: Path) -> None:
    issue(file, receipt_forms.dpv(FACTS))
    file.write_text(
        file.read_text(encoding="utf-8").replace("dpv:ConsentGiven", "dpv:ConsentWithdrawn"), encoding="utf-8"
    )
    done = run(file, "--key", signer().vkey)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert "changed after it was signed" in done.stderr
    assert json.loads(run(file, "--json").stderr)["code"] == "signature-invalid"


def test_a_receipt_that_says_a_thing_twice_is_refused(file: Path) -> None:
    made = json.dumps(issue(file, receipt_forms.dpv(FACTS)))
    file.write_text('{"@type": "dpv:ConsentRefusal", ' + made[1:], encoding="utf-8")
    assert run(file, "--key", signer().vkey).exit_code == 1


def test_a_receipt_of_another_controller_is_refused(file: Path) -> None:
    issue(file, receipt_forms.dpv(FACTS))
    done = run(file, "--key", signer(bytes(range(1, 33))).vkey)
    assert done.exit_code == 1
    assert "another key" in done.stderr


@pytest.mark.parametrize(
    "document",
    [{}, {"@type": "ErasureCertificate"}, {"consentReceiptID": 7}, {"@type": "dpv:ConsentReceipt"}],
    ids=["empty", "certificate", "kantara", "dpv"],
)
def test_a_signed_document_that_is_no_receipt_is_not_taken_for_one(document: dict[str, object], file: Path) -> None:
    issue(file, document)
    done = run(file, "--key", signer().vkey)
    assert done.exit_code == 1
    assert "not a consent receipt" in done.stderr


def test_what_a_stranger_signed_cannot_command_the_terminal(file: Path) -> None:
    issue(file, receipt_forms.dpv(replace(FACTS, purpose_title="\x1b]0;owned\x07[red]x")))
    done = run(file)
    assert "\x1b" not in done.stdout
    assert "[red]x" in done.stdout


def test_a_key_or_a_file_that_cannot_be_read_is_wrong_usage(file: Path) -> None:
    assert run(file).exit_code == 2
    issue(file, receipt_forms.dpv(FACTS))
    assert run(file, "--key", "nonsense").exit_code == 2
    assert run(file, "--key", signer().vkey.replace("+", "+0", 1)).exit_code == 2
