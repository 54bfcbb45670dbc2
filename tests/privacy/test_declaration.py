"""What stands in the way of a manifest: stored rows that it would leave without purpose."""

from __future__ import annotations

import pytest

from privacy import declaration, manifest
from privacy.errors import ManifestOrphans
from privacy.work import TERMINAL
from tests.world import MANIFEST, PHONE, World

WITHOUT_MARKETING = MANIFEST[: MANIFEST.index("  marketing:")] + MANIFEST[MANIFEST.index("  tax:") :].replace(
    "[customer-service, marketing]", "[customer-service]"
)


def test_a_purpose_that_records_are_held_for_cannot_be_removed(world: World) -> None:
    # Broken by hand: a LIKE that looked for the purpose encoded twice found no row.
    wanted = manifest.parse(WITHOUT_MARKETING, "without.yaml")
    subject = world.subject()
    world.consent(subject)
    world.store(subject, {"phone": PHONE}, purposes=["membership"])
    with world.service.begin(TERMINAL) as work:
        assert declaration.plan(work, wanted).orphans == ()
    for _ in range(2):
        world.store(subject, {"phone": PHONE}, purposes=["membership", "marketing"])
    with pytest.raises(ManifestOrphans) as caught, world.service.begin(TERMINAL) as work:
        declaration.apply(work, wanted)
    assert caught.value.context["orphans"] == [
        {"kind": "purpose-removed", "type": None, "field": None, "purpose": "marketing", "rows": 2}
    ]
