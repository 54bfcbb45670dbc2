"""Problems on the wire (RFC 9457): one table from error classes to statuses and titles in two languages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from privacy import errors
from privacy.errors import PrivacyError

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:steward:problem:"

# A subclass without an entry takes the nearest one above it; a test asks for every class by name.
STATUS: Final[Mapping[type[PrivacyError], int]] = {
    errors.PrivacyError: 500,
    errors.Refused: 403,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.UndeclaredPurpose: 403,
    errors.NoLawfulBasis: 403,
    errors.ConsentMissing: 403,
    errors.ConsentExpired: 403,
    errors.ConsentStale: 403,
    errors.GuardianConsentMissing: 403,
    errors.SeparateConsentMissing: 403,
    errors.BasisNotInForce: 403,
    errors.Restricted: 403,
    errors.Objected: 403,
    errors.UndeclaredRecipient: 403,
    errors.AnonymisedOnly: 403,
    errors.PurposeEnded: 403,
    errors.NotInPurpose: 403,
    errors.FoundAboveLevel: 422,
    errors.CannotAnonymise: 422,
    errors.PersonalInOutput: 422,
    errors.BudgetExhausted: 403,
    errors.BudgetUndeclared: 403,
    errors.DetectionOff: 403,
    errors.UnsafeTable: 422,
    errors.NotFound: 404,
    errors.Erased: 410,
    errors.Conflict: 409,
    errors.VersionMismatch: 412,
    errors.CoolOff: 409,
    errors.NoticeMissing: 409,
    errors.NoticeOutdated: 409,
    errors.OptedOut: 409,
    errors.OnHold: 409,
    errors.StatutoryPeriod: 409,
    errors.NotAnonymised: 409,
    errors.ReleaseStale: 409,
    errors.PreconditionRequired: 428,
    errors.IdempotencyConflict: 422,
    errors.Invalid: 400,
    errors.Undeclared: 400,
    errors.UnknownValue: 400,
    errors.Unclassified: 400,
    errors.TooLarge: 413,
    errors.RateLimited: 429,
    errors.ManifestInvalid: 400,
    errors.NoticeInvalid: 400,
    errors.SignatureInvalid: 400,
    errors.ManifestOrphans: 409,
    errors.Unavailable: 503,
    errors.AuditUnavailable: 503,
    errors.KeysUnavailable: 503,
    errors.Corrupt: 500,
    errors.OutputDiffers: 500,
    errors.Unaudited: 500,
}

TITLES_ZH: Final[Mapping[str, str]] = {
    "internal": "服务内部出错",
    "refused": "不允许此操作",
    "unauthenticated": "需要有效的 API 密钥",
    "not-granted": "该调用方无权执行此操作",
    "undeclared-purpose": "清单中没有声明该处理目的",
    "no-lawful-basis": "没有允许此处理的合法性基础",
    "consent-missing": "该目的以同意为基础，而目前没有有效的同意",
    "consent-expired": "同意已过期",
    "consent-stale": "原有同意已不能涵盖现在的处理",
    "guardian-consent-missing": "缺少儿童监护人的同意",
    "separate-consent-missing": "需要单独同意，而目前没有",
    "basis-not-in-force": "合法性基础目前不在有效期内",
    "restricted": "该个人信息的处理已被限制",
    "objected": "该个人已拒绝此目的的处理",
    "undeclared-recipient": "清单中没有为此目的声明该接收方",
    "cool-off": "该个人已表示拒绝，暂时不得再次询问",
    "notice-missing": "没有已发布的告知书涵盖该目的",
    "notice-outdated": "该告知书的内容与现在的处理不符",
    "opted-out": "全局隐私控制信号已选择退出此目的",
    "notice-invalid": "告知书无效",
    "signature-invalid": "签名无效",
    "anonymised-only": "该目的只能接收匿名化数据",
    "purpose-ended": "该目的对此记录的保存期限已过",
    "not-in-purpose": "该目的未声明使用此内容",
    "found-above-level": "内容超出该字段所声明的级别",
    "cannot-anonymise": "这些数据无法按此策略匿名化",
    "personal-data-in-output": "将要公布的内容含有个人信息",
    "budget-exhausted": "隐私预算不足以回答该问题",
    "budget-undeclared": "清单中没有为此声明隐私预算",
    "detection-off": "本部署不检测文本",
    "unsafe-table": "该表会暴露人数很少的群体",
    "not-found": "不存在",
    "erased": "该个人的数据已被删除",
    "conflict": "与已存储的内容冲突",
    "version-mismatch": "记录在读取之后已被更改",
    "on-hold": "法律保全期间不得更改或者删除",
    "not-anonymised": "该发布尚不得提供给任何人",
    "release-stale": "该发布须重新生成",
    "statutory-period": "法定保存期限尚未届满",
    "precondition-required": "需要 If-Match 及所读版本的 ETag",
    "idempotency-key-reused": "该 Idempotency-Key 已用于另一请求",
    "invalid": "请求无效",
    "undeclared": "清单中没有声明此内容",
    "unknown-value": "有值不在其列的泛化层级中",
    "unclassified-columns": "有列没有角色",
    "too-large": "请求体过大",
    "rate-limited": "请求过多",
    "manifest-invalid": "清单无效",
    "manifest-orphans": "该清单会使已存数据失去类别、目的或期限",
    "unavailable": "服务暂时无法完成此操作",
    "audit-unavailable": "审计日志无法写入，因此没有披露任何数据",
    "keys-unavailable": "暂时无法取得密钥",
    "corrupt": "无法打开已存储的记录",
    "output-differs": "写出的内容与所定不符，已被移除",
    "unaudited": "服务内部出错",
    "method-not-allowed": "此资源不支持该方法",
}

# What of an error's context a caller may see: ids, declared names and counts.
_SHOWN: Final = frozenset({"field", "version", "orphans", "errors", "needed", "until", "state", "holds", "found"})


def status_of(error: PrivacyError) -> int:
    """The HTTP status of an error, by its class or the nearest above it."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def problem(error: PrivacyError, request_id: str, language: str = "en") -> dict[str, object]:
    """The problem object. Bugs of ours (status 500) say nothing but their code."""
    status = status_of(error)
    title = TITLES_ZH.get(error.code, error.title) if language == "zh" else error.title
    found: dict[str, object] = {
        "type": TYPE_PREFIX + error.code,
        "title": title,
        "status": status,
        "code": error.code,
        "detail": error.title if status == 500 else _chinese(error) if language == "zh" else error.detail,
        "law": list(error.law),
        "request_id": request_id,
    }
    return found | {name: value for name, value in error.context.items() if name in _SHOWN}


def _chinese(error: PrivacyError) -> str:
    """The detail in Chinese; of one that says no more than its title, the title."""
    return error.zh or (TITLES_ZH.get(error.code, error.detail) if error.detail == error.title else error.detail)


def rendered(
    error: PrivacyError, request_id: str, language: str = "en"
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, headers and body of an error's answer."""
    status = status_of(error)
    body = msgspec.json.encode(problem(error, request_id, language))
    headers = [(b"content-type", MEDIA_TYPE.encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if status in (429, 503):
        headers.append((b"retry-after", str(error.context.get("retry_after", 1)).encode()))
    if language == "zh":
        headers.append((b"content-language", b"zh-CN"))
    return status, headers, body
