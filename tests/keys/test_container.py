"""The sealed record: what goes in comes out, at its place, whole, and nothing else does."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys import container
from keys.container import Entry, Place, Suite, directory, kid_of, patch, seal, unseal
from keys.derivation import derive
from keys.errors import CannotOpen, KeysError
from keys.secret import DataKey

FIELDS = {1: b"first", 7: b"", 300: "第三".encode()}

suites = pytest.mark.parametrize("suite", Suite)
some_fields = st.dictionaries(st.integers(0, 0xFFFF), st.binary(max_size=80), min_size=1, max_size=20)
some_places = st.builds(Place, st.binary(), st.binary(), st.text(), st.text(), st.binary())


def refuses(key: DataKey, place: Place, box: bytes) -> None:
    """Every door is shut, and none tells why."""
    for attempt in (
        lambda: unseal(key, place, box),
        lambda: unseal(key, place, box, ()),
        lambda: patch(key, place, box, {1: b"x"}),
    ):
        with pytest.raises(CannotOpen) as refusal:
            attempt()
        assert str(refusal.value) == "a sealed box does not open"
        assert refusal.value.__cause__ is None


@given(
    some_places,
    some_fields,
    st.integers(0, 0xFFFF),
    st.sampled_from(Suite),
    st.sets(st.integers(0, 0xFFFF), max_size=9),
)
def test_what_is_sealed_opens_again(
    place: Place, fields: dict[int, bytes], schema: int, suite: Suite, others: set[int]
) -> None:
    key = DataKey.random()
    box = seal(key, place, fields, schema=schema, suite=suite)
    assert unseal(key, place, box) == fields
    assert directory(box) == tuple(Entry(field, schema, len(fields[field])) for field in sorted(fields))
    assert kid_of(box) == key.kid
    assert len(box) == 60 + sum(36 + len(plaintext) for plaintext in fields.values())
    wanted = others | set(list(fields)[::2])
    assert unseal(key, place, box, wanted) == {field: fields[field] for field in fields if field in wanted}


@given(
    some_fields,
    st.dictionaries(st.integers(0, 0xFFFF), st.none() | st.binary(max_size=40), max_size=12),
    st.sampled_from(Suite),
)
def test_a_patch_is_the_change_it_names_and_no_other(
    fields: dict[int, bytes], changes: dict[int, bytes | None], suite: Suite
) -> None:
    key, place = DataKey.random(), Place(b"d", b"s", "main", "t", b"r")
    changes |= dict.fromkeys(list(fields)[1::3])
    after = {field: value for field, value in {**fields, **changes}.items() if value is not None}
    box = seal(key, place, fields, suite=suite)
    if after:
        patched = patch(key, place, box, changes, schema=2)
        assert unseal(key, place, patched) == after
        versions = {entry.field: entry.schema for entry in directory(patched)}
        assert versions == {field: 2 if field in changes else 1 for field in after}
    else:
        with pytest.raises(KeysError):
            patch(key, place, box, changes)


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda tail: b"\xf5\x01\x01\x01" + tail))
def test_bytes_that_nobody_sealed_do_not_open(box: bytes) -> None:
    refuses(DataKey.random(), Place(b"d", b"s", "main", "t", b"r"), box)


@suites
def test_equal_records_seal_to_different_containers(suite: Suite, key: DataKey, place: Place) -> None:
    first, second = (seal(key, place, FIELDS, suite=suite) for _ in range(2))
    assert first[12:28] != second[12:28]
    assert first[60 + 3 * 8 :] != second[60 + 3 * 8 :]


@suites
def test_a_container_with_any_bit_flipped_does_not_open(suite: Suite, key: DataKey, place: Place) -> None:
    box = bytearray(seal(key, place, FIELDS, suite=suite))
    for position in range(len(box)):
        for bit in range(8):
            box[position] ^= 1 << bit
            with pytest.raises(CannotOpen):
                unseal(key, place, bytes(box))
            box[position] ^= 1 << bit
    assert unseal(key, place, bytes(box)) == FIELDS


@suites
def test_a_container_cut_or_extended_anywhere_does_not_open(suite: Suite, key: DataKey, place: Place) -> None:
    box = seal(key, place, FIELDS, suite=suite)
    for length in range(len(box)):
        refuses(key, place, box[:length])
    for tail in (b"\0", b"\xf5", bytes(28), box):
        refuses(key, place, box + tail)
    for position in (0, 4, 12, 28, 60, 84, len(box) - 16):
        refuses(key, place, box[:position] + b"\0" + box[position:])


@suites
@pytest.mark.parametrize(
    "elsewhere",
    [
        lambda place: place._replace(deployment=os.urandom(16)),
        lambda place: place._replace(subject=os.urandom(16)),
        lambda place: place._replace(scope="marketing"),
        lambda place: place._replace(record_type="interaction"),
        lambda place: place._replace(record=os.urandom(16)),
        # The same bytes, cut at another place: what length prefixes are for.
        lambda place: place._replace(scope="mainm", record_type="ember"),
        lambda place: place._replace(deployment=place.deployment + place.subject, subject=b""),
    ],
    ids=["deployment", "subject", "scope", "type", "record", "scope-and-type-shifted", "subject-shifted"],
)
def test_a_container_moved_to_another_place_does_not_open(
    elsewhere: Callable[[Place], Place], suite: Suite, key: DataKey, place: Place
) -> None:
    refuses(key, elsewhere(place), seal(key, place, FIELDS, suite=suite))


@suites
def test_a_container_does_not_open_with_another_key(suite: Suite, key: DataKey, place: Place) -> None:
    box = seal(key, place, FIELDS, suite=suite)
    refuses(DataKey.random(), place, box)
    # The same id on other bytes, and other bytes' id on these: neither the id nor the bytes alone suffice.
    refuses(DataKey(key.kid, bytearray(os.urandom(32))), place, box)
    refuses(DataKey(os.urandom(8), bytearray(key.expose())), place, box)


def test_a_container_named_as_the_other_suite_does_not_open(key: DataKey, place: Place) -> None:
    for suite, other in ((Suite.GCM_SIV, Suite.GCM), (Suite.GCM, Suite.GCM_SIV)):
        box = seal(key, place, FIELDS, suite=suite)
        refuses(key, place, box[:2] + bytes([other]) + box[3:])
        for unknown in (0, 3, 255):
            refuses(key, place, box[:2] + bytes([unknown]) + box[3:])


def parts(box: bytes) -> tuple[bytes, bytes, list[bytes], list[bytes]]:
    """Prefix, MAC, directory entries and boxes, read straight off the layout."""
    count = box[3]
    entries = [box[60 + 8 * i : 68 + 8 * i] for i in range(count)]
    sealed, at = [], 60 + 8 * count
    for entry in entries:
        end = at + 28 + int.from_bytes(entry[4:], "big")
        sealed.append(box[at:end])
        at = end
    return box[:28], box[28:60], entries, sealed


def joined(prefix: bytes, mac: bytes, entries: list[bytes], sealed: list[bytes]) -> bytes:
    return b"".join([prefix[:3], bytes([len(entries)]), prefix[4:], mac, *entries, *sealed])


@suites
def test_a_field_cannot_be_dropped_doubled_or_swapped(suite: Suite, key: DataKey, place: Place) -> None:
    box = seal(key, place, {1: b"alpha", 2: b"gamma", 3: b"delta"}, suite=suite)
    prefix, mac, entries, sealed = parts(box)
    assert joined(prefix, mac, entries, sealed) == box
    for i in range(3):
        refuses(key, place, joined(prefix, mac, entries[:i] + entries[i + 1 :], sealed[:i] + sealed[i + 1 :]))
        refuses(key, place, joined(prefix, mac, [*entries, entries[i]], [*sealed, sealed[i]]))
        for j in range(3):
            if i != j:
                order = [0, 1, 2]
                order[i], order[j] = order[j], order[i]
                refuses(key, place, joined(prefix, mac, entries, [sealed[k] for k in order]))
                refuses(key, place, joined(prefix, mac, [entries[k] for k in order], sealed))
                refuses(key, place, joined(prefix, mac, [entries[k] for k in order], [sealed[k] for k in order]))
                twice = list(sealed)
                twice[i] = sealed[j]
                refuses(key, place, joined(prefix, mac, entries, twice))


@suites
def test_a_field_of_an_older_version_cannot_be_put_back(suite: Suite, key: DataKey, place: Place) -> None:
    """Both versions share salt and record key; only the MAC over nonces and tags tells them apart."""
    old = seal(key, place, {1: b"alpha", 2: b"gamma"}, suite=suite)
    new = patch(key, place, old, {2: b"delta"})
    (prefix, old_mac, entries, was), (_, new_mac, _, now) = parts(old), parts(new)
    assert was[0] == now[0]
    for mac in (old_mac, new_mac):
        mixed = joined(prefix, mac, entries, [was[0], was[1] if mac == new_mac else now[1]])
        refuses(key, place, mixed)
    assert unseal(key, place, new) == {1: b"alpha", 2: b"delta"}


@suites
def test_a_field_of_another_record_does_not_open_here(suite: Suite, key: DataKey, place: Place) -> None:
    here = seal(key, place, {1: b"alpha", 2: b"gamma"}, suite=suite)
    there = seal(key, place._replace(record=b"other"), {1: b"delta", 2: b"gamma"}, suite=suite)
    prefix, mac, entries, sealed = parts(here)
    refuses(key, place, joined(prefix, mac, entries, [parts(there)[3][0], sealed[1]]))


@suites
def test_a_key_holder_cannot_make_a_second_encoding_of_a_record(suite: Suite, key: DataKey, place: Place) -> None:
    """Unsorted and repeated ids are refused even under a right MAC: there is one encoding of each content."""
    prefix, _, _ = container._parse(seal(key, place, {1: b"alpha", 2: b"gamma"}, suite=suite))
    keys = container._record_keys(key, place, prefix)
    boxes = container._close(keys, prefix, [(1, b"alpha"), (2, b"gamma")], 1, os.urandom(24))
    assert unseal(key, place, container._assemble(keys, prefix, boxes)) == {1: b"alpha", 2: b"gamma"}
    refuses(key, place, container._assemble(keys, prefix, boxes[::-1]))
    refuses(key, place, container._assemble(keys, prefix, [boxes[0], boxes[0]]))


@suites
def test_damage_to_one_field_leaves_the_others_readable(suite: Suite, key: DataKey, place: Place) -> None:
    """The MAC is over tags, not ciphertexts: what is not opened is not read."""
    box = bytearray(seal(key, place, {1: b"alpha", 2: b"gamma"}, suite=suite))
    box[60 + 16 + 28 + 5 + 12] ^= 1
    assert unseal(key, place, bytes(box), {1}) == {1: b"alpha"}
    with pytest.raises(CannotOpen):
        unseal(key, place, bytes(box), {2})


@suites
def test_a_patch_does_not_touch_the_boxes_it_keeps(suite: Suite, key: DataKey, place: Place) -> None:
    box = seal(key, place, {1: b"alpha", 2: b"gamma", 3: b"delta"}, suite=suite)
    patched = patch(key, place, box, {2: b"omega"})
    before, after = parts(box), parts(patched)
    assert after[3][0] == before[3][0]
    assert after[3][2] == before[3][2]
    assert after[3][1][:12] != before[3][1][:12]
    assert after[0] == before[0]


@suites
def test_a_patch_never_repeats_a_nonce(suite: Suite, key: DataKey, place: Place) -> None:
    box = seal(key, place, {1: b"alpha", 2: b"gamma"}, suite=suite)
    nonces = [sealed[:12] for sealed in parts(box)[3]]
    for _ in range(50):
        box = patch(key, place, box, {1: b"alpha"})
        nonces.append(parts(box)[3][0][:12])
    assert len(set(nonces)) == 52


def test_a_repeated_random_state_repeats_a_hedged_nonce_only_for_the_same_write(key: DataKey, place: Place) -> None:
    """What a machine restored from a snapshot does.

    In suite 2 a nonce under two plaintexts would be fatal.
    """

    def nonces(fields: dict[int, bytes]) -> list[bytes]:
        return [sealed[:12] for sealed in parts(container._seal(key, place, fields, 1, Suite.GCM, bytes))[3]]

    first = nonces({1: b"alpha", 2: b"gamma"})
    assert first == nonces({1: b"alpha", 2: b"gamma"})
    for other in ({1: b"alpha", 2: b"delta"}, {1: b"alphagamma", 2: b""}, {1: b"alpha", 3: b"gamma"}):
        assert not set(first) & set(nonces(other))


def test_the_limits_are_refused_before_anything_is_sealed(key: DataKey, place: Place) -> None:
    seal(key, place, dict.fromkeys(range(255), b""))
    for wrong in ({}, dict.fromkeys(range(256), b""), {-1: b""}, {0x10000: b""}):
        with pytest.raises(KeysError):
            seal(key, place, wrong)
    for schema in (-1, 0x10000):
        with pytest.raises(KeysError):
            seal(key, place, {1: b""}, schema=schema)
    full = seal(key, place, dict.fromkeys(range(255), b""))
    with pytest.raises(KeysError):
        patch(key, place, full, {300: b""})
    assert len(unseal(key, place, patch(key, place, full, {300: b"", 0: None}))) == 255


def test_a_directory_is_read_without_a_key_but_not_from_rubbish(key: DataKey, place: Place) -> None:
    box = seal(key, place, FIELDS)
    for rubbish in (b"", b"\xf5", box[:-1], b"\xf4" + box[1:], b"{}" * 50):
        with pytest.raises(CannotOpen):
            directory(rubbish)
    for rubbish in (b"", box[:59], b"\xf4" + box[1:]):
        with pytest.raises(CannotOpen):
            kid_of(rubbish)


def test_nothing_is_sealed_or_opened_under_a_wiped_key(key: DataKey, place: Place) -> None:
    box = seal(key, place, FIELDS)
    key.wipe()
    with pytest.raises(KeysError):
        seal(key, place, FIELDS)
    with pytest.raises(KeysError):
        unseal(key, place, box)


@suites
def test_record_keys_are_wiped_whether_it_goes_well_or_not(
    suite: Suite, key: DataKey, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    derived: list[bytearray] = []

    def watched(*arguments: object) -> bytearray:
        derived.append(derive(*arguments))  # type: ignore[arg-type]
        assert any(derived[-1])
        return derived[-1]

    monkeypatch.setattr(container, "derive", watched)
    box = seal(key, place, FIELDS, suite=suite)
    unseal(key, place, box)
    patch(key, place, box, {1: b"x"})
    for attempt in (box[:-1] + b"\0", box[:28] + bytes(32) + box[60:]):
        with pytest.raises(CannotOpen):
            unseal(key, place, attempt)
    with pytest.raises(KeysError):
        patch(key, place, box, dict.fromkeys(FIELDS))
    assert len(derived) == 6
    assert not any(any(buffer) for buffer in derived)
