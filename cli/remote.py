"""The service over HTTP, for commands that act as a component does: at PRIVACY_URL, with the key in PRIVACY_KEY.

Whoever sits at this terminal is an administrator, and administrators read no personal data.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from cli.deployment import address
from privacy.client import PrivacyClient
from privacy.errors import Unauthenticated
from privacy.settings import Settings


@contextmanager
def calling() -> Iterator[PrivacyClient]:
    """The service as the component whose key PRIVACY_KEY holds. Raises `Unauthenticated` when it holds none."""
    key = os.environ.get("PRIVACY_KEY")
    if not key:
        raise Unauthenticated("Put a component's API key into PRIVACY_KEY: `privacy principal add` makes one")
    with PrivacyClient(os.environ.get("PRIVACY_URL") or address(Settings.from_environment()), key) as privacy:
        yield privacy
