"""Every refusal and failure a caller can meet, as one tree.

A class for each thing a caller would handle differently; `code` is stable and part of the contract.
`detail` and `context` carry ids and declared names (fields, purposes, types), never a person's values.
This module imports nothing of ours: `privacy.client` raises the same classes on the other side of HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar


class PrivacyError(Exception):
    """The root. `code` names the kind, `law` the articles that ask for it, `zh` says the detail in Chinese."""

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something failed on our side"

    def __init__(self, detail: str = "", *, zh: str = "", law: Sequence[str] = (), **context: object) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.zh = zh
        self.law = tuple(law)
        self.context: Mapping[str, object] = context


class Refused(PrivacyError):
    """A rule said no. It is audited after the roll-back."""

    code = "refused"
    title = "This is not allowed"


class Unauthenticated(PrivacyError):
    code = "unauthenticated"
    title = "A valid API key is required"


class Forbidden(Refused):
    """The principal's role or grant does not cover this."""

    code = "not-granted"
    title = "This principal may not do this"


class UndeclaredPurpose(Refused):
    code = "undeclared-purpose"
    title = "The manifest declares no such purpose"


class NoLawfulBasis(Refused):
    code = "no-lawful-basis"
    title = "No lawful basis allows this"


class ConsentMissing(NoLawfulBasis):
    code = "consent-missing"
    title = "The purpose rests on consent, and there is none in force"


class ConsentExpired(ConsentMissing):
    code = "consent-expired"
    title = "The consent has expired"


class ConsentStale(ConsentMissing):
    """What was consented to has changed, or who consented: the subject must be asked again."""

    code = "consent-stale"
    title = "The consent no longer covers what is done"


class GuardianConsentMissing(ConsentMissing):
    """A child's consent is its guardian's (PIPL 31, GDPR 8)."""

    code = "guardian-consent-missing"
    title = "A child's guardian has not consented"


class SeparateConsentMissing(ConsentMissing):
    """`needed` in the context names what asks for separate consent."""

    code = "separate-consent-missing"
    title = "Separate consent is needed, and there is none"


class BasisNotInForce(NoLawfulBasis):
    """The basis has not begun, or has ended."""

    code = "basis-not-in-force"
    title = "The lawful basis is not in force now"


class Restricted(Refused):
    """Everything but storage is stopped (GDPR 18, PIPL 44)."""

    code = "restricted"
    title = "The processing of this subject's data is restricted"


class Objected(Refused):
    code = "objected"
    title = "The subject has objected to this purpose"


class UndeclaredRecipient(Refused):
    code = "undeclared-recipient"
    title = "The manifest declares no such recipient for this purpose"


class AnonymisedOnly(Refused):
    code = "anonymised-only"
    title = "The purpose may only receive anonymised data"


class PurposeEnded(Refused):
    code = "purpose-ended"
    title = "The retention period of the purpose has passed for this record"


class NotInPurpose(Refused):
    """The purpose has no use for this type or field."""

    code = "not-in-purpose"
    title = "The purpose has no declared use for this"


class FoundAboveLevel(Refused):
    """A value holds something above the level that its field declares; `found` in the context says what and where."""

    code = "found-above-level"
    title = "A value holds data above the level that its field declares"


class CannotAnonymise(Refused):
    """No generalisation of these rows satisfies the policy within its limits of suppression and loss."""

    code = "cannot-anonymise"
    title = "The data cannot be anonymised under this policy"


class PersonalInOutput(Refused):
    """A column that would be published as it is holds what identifies persons; `columns` in the context names it."""

    code = "personal-data-in-output"
    title = "What would be published holds personal data"


class BudgetExhausted(Refused):
    """What may be told of these people by statistics has been told; `left` is what remains, in rho."""

    code = "budget-exhausted"
    title = "The privacy budget does not cover this question"


class BudgetUndeclared(Refused):
    """Without a declared budget nothing is told by statistics."""

    code = "budget-undeclared"
    title = "The manifest declares no privacy budget for this"


class DetectionOff(Refused):
    """`PRIVACY_DETECTION` is off."""

    code = "detection-off"
    title = "This deployment does not analyse texts"


class UnsafeTable(Refused):
    """A table of counts or sums would show a small group, by itself or with `earlier`, which the context then names."""

    code = "unsafe-table"
    title = "The table would give a small group away"


class NotFound(PrivacyError):
    code = "not-found"
    title = "There is no such thing"


class Erased(NotFound):
    """The subject's key has been destroyed."""

    code = "erased"
    title = "The data of this subject has been erased"


class Conflict(PrivacyError):
    code = "conflict"
    title = "This conflicts with what is stored"


class VersionMismatch(Conflict):
    """Somebody changed the record since the version in If-Match was read (RFC 9110 13.1.1)."""

    code = "version-mismatch"
    title = "The record has changed since it was read"


class CoolOff(Conflict):
    """The subject said no, and may not be asked again before `until`."""

    code = "cool-off"
    title = "The subject said no and may not be asked again yet"


class NoticeMissing(Conflict):
    """Consent without a notice is not informed (PIPL 14, 17; GDPR 7, 13)."""

    code = "notice-missing"
    title = "No published notice covers this purpose"


class NoticeOutdated(Conflict):
    code = "notice-outdated"
    title = "What this notice says is no longer what is done"


class OptedOut(Conflict):
    """The request carries the signal that opts out of what it would consent to (W3C GPC)."""

    code = "opted-out"
    title = "The Global Privacy Control signal opts out of this"


class OnHold(Conflict):
    """A legal hold keeps it as it is; `holds` in the context are their ids."""

    code = "on-hold"
    title = "A legal hold keeps this as it is"


class NotAnonymised(Conflict):
    """The release has not passed its gate and a second person, or its date for being assessed again is over."""

    code = "not-anonymised"
    title = "This release may not be given to anybody"


class ReleaseStale(Conflict):
    """Somebody whose data is in it may not be used any more, or an earlier release came between. Ask for it again."""

    code = "release-stale"
    title = "The release must be made again"


class StatutoryPeriod(Conflict):
    """A law asks for it to be kept until `until`."""

    code = "statutory-period"
    title = "A statutory storage period has not ended"


class PreconditionRequired(PrivacyError):
    """RFC 6585 section 3: an update must say which version it changes."""

    code = "precondition-required"
    title = "If-Match with the ETag of the version read is required"


class IdempotencyConflict(PrivacyError):
    """The same Idempotency-Key came with another payload."""

    code = "idempotency-key-reused"
    title = "This Idempotency-Key was used for another request"


class Invalid(PrivacyError):
    """The request cannot be understood or breaks a declared constraint."""

    code = "invalid"
    title = "The request is not valid"


class Undeclared(Invalid):
    """A record type or field that the manifest does not declare."""

    code = "undeclared"
    title = "The manifest does not declare this"


class UnknownValue(Invalid):
    """A value that the hierarchy of its column does not have: `column` in the context, never the value."""

    code = "unknown-value"
    title = "A value is not in the hierarchy of its column"


class Unclassified(Invalid):
    """Nobody has said what these columns are; `columns` in the context names all of them."""

    code = "unclassified-columns"
    title = "A column has no role"


class TooLarge(PrivacyError):
    code = "too-large"
    title = "The request body is too large"


class RateLimited(PrivacyError):
    code = "rate-limited"
    title = "Too many requests"


class ManifestInvalid(Invalid):
    """`problems` lists each fault with file, line, what is wrong and what would be right."""

    code = "manifest-invalid"
    title = "The manifest is not valid"


class NoticeInvalid(Invalid):
    """`problems` lists each fault with file, line, what is wrong and what would be right."""

    code = "notice-invalid"
    title = "The notice is not valid"


class SignatureInvalid(Invalid):
    """A signed document that was changed, or that somebody else signed."""

    code = "signature-invalid"
    title = "The signature does not hold"


class ManifestOrphans(Conflict):
    """Applying the manifest would leave stored rows without class, purpose or period."""

    code = "manifest-orphans"
    title = "The manifest would orphan stored data"


class Unavailable(PrivacyError):
    """Something we need is away; nothing was done. Retry after `retry_after` seconds."""

    code = "unavailable"
    title = "The service cannot do this just now"


class AuditUnavailable(Unavailable):
    """The audit event could not be made durable, so nothing was disclosed or changed."""

    code = "audit-unavailable"
    title = "The audit log cannot be written, so nothing was disclosed"


class KeysUnavailable(Unavailable):
    code = "keys-unavailable"
    title = "The keys cannot be reached"


class Corrupt(PrivacyError):
    """A stored box did not open. Never says why."""

    code = "corrupt"
    title = "A stored record could not be opened"


class OutputDiffers(PrivacyError):
    """What was written is not what was decided: the disk, the engine, or a bug of ours. It has been removed."""

    code = "output-differs"
    title = "What was written is not what was decided, and has been removed"


class Unaudited(PrivacyError):
    """A unit of work unsealed or changed something and named no event: a bug of ours, rolled back."""

    code = "unaudited"
    title = "A unit of work left without its audit event"
