"""Settings from the environment, prefix `PRIVACY_`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, Literal, get_args

from privacy.errors import Invalid

Detection = Literal["full", "patterns", "off"]
_DETECTION: Final[tuple[Detection, ...]] = get_args(Detection)


@dataclass(frozen=True, slots=True)
class Settings:
    """Where things are and how the service runs. URLs may hold passwords, so `repr` shows none."""

    home: Path
    database_url: str
    keystore_url: str
    kms: str = "local:"
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    log_level: str = "info"
    rate_per_minute: int = 600_000
    body_limit: int = 8 * 1024 * 1024
    watch_rules: Path | None = None
    witness_url: str = ""  # of a C2SP witness, who cosigns the audit log's checkpoints
    witness_key: str = ""  # its verifier key
    destroy_delay: timedelta = timedelta(days=7)  # between asking that a key be destroyed and doing it
    checkpoint_mldsa: bool = False  # whether checkpoints carry an ML-DSA-44 signature too
    detection: Detection = "full"  # with the models, by patterns alone, or not at all
    detection_workers: int = 2  # processes that analyse texts; none: a thread of this one does

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Raises `Invalid` naming the variable that cannot be understood."""
        env = os.environ if environment is None else environment

        def number(name: str, default: int, least: int, most: int) -> int:
            text = env.get(f"PRIVACY_{name}", "")
            if not text:
                return default
            if not text.isdecimal() or not least <= int(text) <= most:
                raise Invalid(f"PRIVACY_{name} must be a whole number from {least} to {most}")
            return int(text)

        home = Path(env.get("PRIVACY_HOME") or "privacy-home").absolute()
        level = (env.get("PRIVACY_LOG_LEVEL") or "info").lower()
        if level not in {"debug", "info", "warning", "error"}:
            raise Invalid("PRIVACY_LOG_LEVEL must be debug, info, warning or error")
        detection = next((one for one in _DETECTION if one == (env.get("PRIVACY_DETECTION") or "full").lower()), None)
        if detection is None:
            raise Invalid("PRIVACY_DETECTION must be full, patterns or off")
        return cls(
            home=home,
            database_url=env.get("PRIVACY_DATABASE_URL") or f"sqlite:///{home / 'data.db'}",
            keystore_url=env.get("PRIVACY_KEYSTORE_URL") or f"sqlite:///{home / 'keys.db'}",
            kms=env.get("PRIVACY_KMS") or "local:",
            host=env.get("PRIVACY_HOST") or "127.0.0.1",
            port=number("PORT", 8000, 1, 65535),
            workers=number("WORKERS", 1, 1, 64),
            log_level=level,
            rate_per_minute=number("RATE_PER_MINUTE", 600_000, 1, 10**9),
            watch_rules=Path(env["PRIVACY_WATCH_RULES"]).absolute() if env.get("PRIVACY_WATCH_RULES") else None,
            body_limit=number("BODY_LIMIT", 8 * 1024 * 1024, 1024, 1 << 30),
            witness_url=env.get("PRIVACY_WITNESS_URL", ""),
            witness_key=env.get("PRIVACY_WITNESS_KEY", ""),
            destroy_delay=timedelta(hours=number("DESTROY_DELAY_HOURS", 7 * 24, 1, 365 * 24)),
            checkpoint_mldsa=bool(number("CHECKPOINT_MLDSA", 0, 0, 1)),
            detection=detection,
            detection_workers=number("DETECTION_WORKERS", 2, 0, 64),
        )

    def __repr__(self) -> str:
        return f"Settings(home={str(self.home)!r}, host={self.host!r}, port={self.port})"
