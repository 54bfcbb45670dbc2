"""The tree, its tiles and its notes: against RFC 6962, the vectors of another implementation, and a third one."""

from __future__ import annotations

import ast
import base64
import json
import random
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import MLDSA44CosignatureSigner, Vkey
from tlog_scales.tlog import Checkpoint as TheirCheckpoint
from tlog_scales.tlog import ConsistencyProof, InclusionProof

from keys.secret import Secret
from keys.signing import VerifierKey
from privacy import cosignatures, tlog
from tests.privacy.log_files import ORIGIN, Log, events, signer

# JSON as a test walks through it.
Vector = dict[str, Any]

VECTORS = json.loads((Path(__file__).parent / "vectors" / "merkle.json").read_text(encoding="utf-8"))
SIZES = (1, 2, 7, 255, 256, 257, 511, 512, 513, 1023, 1300)
LOG = Log(events(1300))
BIG = 65_536 + 300  # three levels of tiles


def naive_root(hashes: list[bytes]) -> bytes:
    """RFC 9162 2.1.1, word for word."""
    if not hashes:
        return tlog.EMPTY_ROOT
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return tlog.node_hash(naive_root(hashes[:split]), naive_root(hashes[split:]))


def hashes_of(log: Log) -> list[bytes]:
    return [tlog.leaf_hash(entry) for entry in log.entries]


def by_file(vector: Vector) -> str:
    return str(vector["file"])


def decoded(proof: list[str] | None) -> list[bytes]:
    return [base64.b64decode(step) for step in proof or []]


# --- the tree ------------------------------------------------------------------------------------------------------


def test_the_roots_of_the_reference_tree_are_those_of_rfc_6962() -> None:
    entries = [bytes.fromhex(entry) for entry in VECTORS["rfc6962"]["entries"]]
    log = Log([])
    for entry, root in zip(entries, VECTORS["rfc6962"]["roots"], strict=True):
        log.append([entry])
        assert log.root.hex() == root
    assert Log(entries).root == log.root
    assert Log([]).root == tlog.EMPTY_ROOT == tlog.root_at(0, log.read)


@pytest.mark.parametrize("vector", VECTORS["inclusion"], ids=by_file)
def test_inclusion_proofs_of_the_other_implementation_are_judged_as_it_judges(vector: Vector) -> None:
    leaf, root = base64.b64decode(vector["leafHash"]), base64.b64decode(vector["root"])
    valid = tlog.verify_inclusion(leaf, vector["leafIdx"], vector["treeSize"], root, decoded(vector["proof"]))
    assert valid is not vector["wantErr"]


@pytest.mark.parametrize("vector", VECTORS["consistency"], ids=by_file)
def test_consistency_proofs_of_the_other_implementation_are_judged_as_it_judges(vector: Vector) -> None:
    roots = (base64.b64decode(vector[name]) for name in ("root1", "root2"))
    old, new = roots
    valid = tlog.verify_consistency(vector["size1"], old, vector["size2"], new, decoded(vector["proof"]))
    assert valid is not vector["wantErr"]


@pytest.mark.parametrize("vector", VECTORS["accepted_there_and_refused_here"], ids=by_file)
def test_a_consistency_proof_from_size_0_is_refused_even_with_an_empty_path(vector: Vector) -> None:
    root = base64.b64decode(vector["root1"])
    assert not tlog.verify_consistency(vector["size1"], root, vector["size2"], root, [])
    assert not tlog.verify_consistency(0, tlog.EMPTY_ROOT, LOG.size, LOG.root, [])
    assert not tlog.verify_consistency(0, tlog.EMPTY_ROOT, 0, tlog.EMPTY_ROOT, [])


@pytest.mark.parametrize("size", SIZES)
def test_any_earlier_root_comes_from_the_tiles_of_the_grown_tree(size: int) -> None:
    assert tlog.root_at(size, LOG.read) == naive_root(hashes_of(LOG)[:size])


@given(st.lists(st.integers(0, 700), max_size=5))
@settings(max_examples=25, deadline=None)
def test_a_tree_is_the_same_however_it_was_batched(batches: list[int]) -> None:
    hashes = [bytes([n & 255, n >> 8]) * 16 for n in range(sum(batches))]
    tiles: dict[tuple[int, int], bytes] = {}
    size, root = 0, tlog.EMPTY_ROOT
    for batch in batches:
        grown = tlog.grow(size, hashes[size : size + batch], lambda level, number: tiles[level, number])
        tiles.update(grown.tiles)
        size, root = grown.size, grown.root
    at_once = tlog.grow(0, hashes, lambda level, number: tiles[level, number])
    assert root == at_once.root == naive_root(hashes)
    assert tiles == at_once.tiles


def test_a_tile_only_ever_grows_at_its_end() -> None:
    log, before = Log([]), dict[tuple[int, int], bytes]()
    for batch in (1, 200, 55, 1, 600):
        log.append(events(batch))
        assert all(log.tiles[place].startswith(tile) for place, tile in before.items())
        before = dict(log.tiles)


def test_growing_ignores_what_stands_in_a_tile_beyond_the_tree() -> None:
    log = Log(events(300))
    left_over = {place: tile + b"\xff" * 32 for place, tile in log.tiles.items() if len(tile) < 8192}
    grown = tlog.grow(300, [tlog.leaf_hash(b"next")], lambda level, number: left_over[level, number])
    log.append([b"next"])
    assert grown.root == log.root


def test_a_tile_that_is_too_short_is_no_tree() -> None:
    for question in (
        lambda read: tlog.root_at(300, read),
        lambda read: tlog.inclusion(3, 300, read),
        lambda read: tlog.consistency(3, 300, read),
        lambda read: tlog.grow(300, [bytes(32)], read),
    ):
        with pytest.raises(tlog.Malformed):
            question(lambda level, number: b"")


@pytest.mark.parametrize("size", SIZES)
def test_every_proof_verifies_and_no_changed_one_does(size: int) -> None:
    root, leaves = tlog.root_at(size, LOG.read), hashes_of(LOG)
    chance = random.Random(size)
    for position in {0, size - 1, *chance.sample(range(size), min(size, 6))}:
        proof = tlog.inclusion(position, size, LOG.read)
        check = _inclusion(leaves[position], position, size, root)
        assert check(proof)
        _refuses_every_change(check, proof, chance)
        assert not _inclusion(leaves[position], (position + 1) % (size + 1), size, root)(proof)
        assert not _inclusion(_flipped(leaves[position], 5), position, size, root)(proof)
        assert not _inclusion(leaves[position], position, size, _flipped(root, 9))(proof)
    for old in {1, *chance.sample(range(1, size + 1), min(size, 6))} - {size}:
        proof, old_root = tlog.consistency(old, size, LOG.read), tlog.root_at(old, LOG.read)
        check = _consistency(old, old_root, size, root)
        assert check(proof)
        _refuses_every_change(check, proof, chance)
        assert not _consistency(old, _flipped(old_root, 0), size, root)(proof)
        assert not _consistency(old, old_root, size, _flipped(root, 0))(proof)
        assert not _consistency(size, old_root, old, root)(proof)


def test_an_inner_node_is_no_leaf_and_a_hash_has_32_bytes() -> None:
    """Two ways to the right root with a wrong claim: a proof that starts higher up, and a byte moved over the seam."""
    leaves = hashes_of(LOG)
    proof = tlog.inclusion(0, 1024, LOG.read)
    root = tlog.root_at(1024, LOG.read)
    inner = tlog.node_hash(leaves[0], proof[0])
    assert tlog.verify_inclusion(leaves[0], 0, 1024, root, proof)
    assert not tlog.verify_inclusion(inner, 0, 1024, root, proof[1:])
    moved = [leaves[0][31:] + proof[0], *proof[1:]]
    assert not tlog.verify_inclusion(leaves[0][:31], 0, 1024, root, moved)
    old, (step, *rest) = tlog.root_at(4, LOG.read), tlog.consistency(4, 11, LOG.read)
    assert tlog.verify_consistency(4, old, 11, tlog.root_at(11, LOG.read), [step, *rest])
    assert not tlog.verify_consistency(4, old[:31], 11, tlog.root_at(11, LOG.read), [old[31:] + step, *rest])


def _inclusion(leaf: bytes, position: int, size: int, root: bytes) -> Callable[[list[bytes]], bool]:
    return lambda proof: tlog.verify_inclusion(leaf, position, size, root, proof)


def _consistency(old: int, old_root: bytes, new: int, root: bytes) -> Callable[[list[bytes]], bool]:
    return lambda proof: tlog.verify_consistency(old, old_root, new, root, proof)


def _refuses_every_change(check: Callable[[list[bytes]], bool], proof: list[bytes], chance: random.Random) -> None:
    for at, step in enumerate(proof):
        changed = [*proof[:at], _flipped(step, chance.randrange(256)), *proof[at + 1 :]]
        assert not check(changed)
        assert not check([*proof[:at], *proof[at + 1 :]])
        assert not check([*proof[:at], step[:31], *proof[at + 1 :]])
    for one, other in pairwise(range(len(proof))):
        swapped = list(proof)
        swapped[one], swapped[other] = swapped[other], swapped[one]
        assert not check(swapped)
    assert not check([*proof, bytes(32)])


def _flipped(value: bytes, bit: int) -> bytes:
    changed = bytearray(value)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


# --- a third implementation ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Log, Path]:
    log = Log(b"%d" % number for number in range(BIG))
    return log, log.write(tmp_path_factory.mktemp("log"))


def test_tlog_scales_reads_and_verifies_what_we_export(exported: tuple[Log, Path]) -> None:
    log, folder = exported
    reader = TilesReader(LocalBackend(folder))
    checkpoint = reader.get_checkpoint()
    checkpoint.verify(Vkey.from_string(log.key.vkey))
    assert (checkpoint.origin, checkpoint.size, checkpoint.root_hash) == (ORIGIN, log.size, log.root)
    assert reader.calculate_root_hash() == log.root
    for position in (0, 255, 256, 65_535, 65_536, log.size - 1):
        assert reader.get_entry(position) == log.entries[position]


def test_tlog_scales_makes_the_same_proofs_and_accepts_ours(exported: tuple[Log, Path]) -> None:
    log, folder = exported
    reader = TilesReader(LocalBackend(folder))
    reader.get_checkpoint()
    for position in (0, 255, 256, 4711, 65_535, 65_536, log.size - 1):
        proof = tlog.inclusion(position, log.size, log.read)
        assert reader.get_inclusion_proof(position, log.size).node_hashes == proof
        InclusionProof(position, log.size, proof).check(tlog.leaf_hash(log.entries[position]), log.root)
    for old in (1, 2, 255, 256, 257, 65_535, 65_536, 65_537, log.size - 1):
        proof = tlog.consistency(old, log.size, log.read)
        assert reader.get_consistency_proof(old, log.size).node_hashes == proof
        ConsistencyProof(old, log.size, proof).check(tlog.root_at(old, log.read), log.root)


def test_tlog_scales_accepts_our_cosignatures_and_we_its_own() -> None:
    text = tlog.Checkpoint(ORIGIN, LOG.size, LOG.root).text()
    key = signer(3, "witness.example/w1")
    plain = cosignatures.Ed25519Cosigner(key.name, key.public)
    note = tlog.Note(text, (cosignatures.cosign(key, text, 1_767_225_600),))
    TheirCheckpoint.from_text(str(note)).verify(Vkey.from_string(plain.vkey))

    lattice = cosignatures.Mldsa44Signer("witness.example/w2", Secret(bytearray(b"\x07" * 32)))
    note = tlog.Note(text, (lattice.cosign(text, 1_767_225_600),))
    TheirCheckpoint.from_text(str(note)).verify(Vkey.from_string(lattice.verifier.vkey))

    theirs = MLDSA44CosignatureSigner("witness.example/w3", b"\x08" * 32)
    signed = TheirCheckpoint.make_signed(ORIGIN, LOG.size, LOG.root, [theirs]).serialize()
    verifier = cosignatures.verifier(tlog.vkey(theirs.vkey.name, cosignatures.MLDSA44, theirs.vkey.pubkey))
    assert [one.name for one in tlog.open_note(signed, [verifier]).signatures] == ["witness.example/w3"]


# --- files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "number", "width", "path"),
    [
        (0, 0, 256, "tile/0/000"),
        (0, 999, 1, "tile/0/999.p/1"),
        (1, 1000, 256, "tile/1/x001/000"),
        (2, 1_234_067, 8, "tile/2/x001/x234/067.p/8"),
        (None, 56_000, 256, "tile/entries/x056/000"),
    ],
)
def test_tiles_stand_where_c2sp_says(level: int | None, number: int, width: int, path: str) -> None:
    assert tlog.tile_path(level, number, width) == path
    assert tlog.parse_tile_path(path) == (level, number, width)


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/0", "tile/0/0000", "tile/0/x000/001", "tile/0/001.p/256", "tile/0/001.p/0", "tile/0/001.p/01",
        "tile/0/../001", "tile/-1/001", "tile/8/001", "tile/0/001/", "/tile/0/001", "tile/0/１２３", "tile/0/x001",
        "tile/0",
    ],
)  # fmt: skip
def test_no_other_path_is_a_tile(path: str) -> None:
    with pytest.raises(tlog.Malformed):
        tlog.parse_tile_path(path)


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_a_bundle_gives_back_its_entries_and_none_that_is_cut(entries: list[bytes]) -> None:
    data = tlog.bundle(entries)
    assert tlog.unbundle(data) == entries
    if entries:
        with pytest.raises(tlog.Malformed):
            tlog.unbundle(data[:-1])


def test_an_entry_has_at_most_65535_bytes() -> None:
    assert tlog.unbundle(tlog.bundle([bytes(65_535)])) == [bytes(65_535)]
    with pytest.raises(tlog.Malformed):
        tlog.bundle([bytes(65_536)])


# --- notes ---------------------------------------------------------------------------------------------------------


def test_the_note_in_the_specification_opens_with_its_key_and_no_changed_one_does() -> None:
    example = VECTORS["signed_note"]
    key = VerifierKey.parse(example["vkey"])
    assert cosignatures.verifier(example["vkey"]) == key
    note = tlog.open_note(example["note"], [key])
    assert note.text == "This is an example message.\n"
    assert str(note) == example["note"]
    for at, character in enumerate(example["note"]):
        changed = example["note"][:at] + ("x" if character != "x" else "y") + example["note"][at + 1 :]
        with pytest.raises((tlog.Malformed, tlog.NotSigned)):
            tlog.open_note(changed, [key])


def test_signatures_of_unknown_keys_are_left_out_and_a_wrong_one_of_a_known_key_refuses_the_note() -> None:
    one, other = signer(1), signer(2, "other.example")
    text = "a\n\nb\n"
    note = tlog.sign_note(text, one.name, one.key_id, one.sign(text.encode()))
    both = note.signed(tlog.Signature(other.name, other.key_id, other.sign(text.encode())))
    assert tlog.open_note(str(both), [other.verifier]).signatures == both.signatures[1:]
    assert tlog.open_note(str(both), [one.verifier, other.verifier]) == both
    assert both.signed(*both.signatures) == both
    wrong = note.signed(tlog.Signature(other.name, other.key_id, other.sign(b"else")))
    assert tlog.open_note(str(wrong), [one.verifier]) == note
    for verifiers in ([one.verifier, other.verifier], [signer(3).verifier], []):
        with pytest.raises(tlog.NotSigned):
            tlog.open_note(str(wrong), verifiers)


@pytest.mark.parametrize(
    "note",
    [
        "", "text\n", "text\n\n", "text\n\n— name\n", "text\n\n— name AAAA\n", "text\n\n- name AAAAAAA=\n",
        "text\n\n— na me AAAAAAA=\n", "text\n\n— na+me AAAAAAA=\n", "text\n\n— name AAAAAAA=",
        "te\txt\n\n— name AAAAAAA=\n",
        "text\n\n— name AAAAAAB=\n", "text\r\n\n— name AAAAAAA=\n", "text\n\n— name AAAAAAA= \n",
    ],
)  # fmt: skip
def test_what_is_not_a_note_is_refused(note: str) -> None:
    with pytest.raises(tlog.Malformed):
        tlog.parse_note(note)


def test_a_checkpoint_reads_what_it_writes() -> None:
    checkpoint = tlog.Checkpoint(ORIGIN, 20_852_163, bytes(range(32)))
    assert tlog.Checkpoint.parse(checkpoint.text()) == checkpoint
    assert tlog.Checkpoint.parse(checkpoint.text() + "an extension\n") == checkpoint
    assert tlog.Checkpoint.parse(LOG.note()) == tlog.Checkpoint(ORIGIN, LOG.size, LOG.root)


@pytest.mark.parametrize("size", ["-1", "01", "+1", "1 ", "", "１", "9223372036854775808", "1_0"])
def test_a_checkpoint_has_one_way_to_write_its_size(size: str) -> None:
    root = base64.b64encode(bytes(32)).decode()
    with pytest.raises(tlog.Malformed):
        tlog.Checkpoint.parse(f"{ORIGIN}\n{size}\n{root}\n")


@pytest.mark.parametrize("text", ["", "o\n1\n", "o\n1\nAAAA\n", f"\n1\n{'A' * 43}=\n", f"o\n1\n{'A' * 43}="])
def test_what_is_not_a_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(tlog.Malformed):
        tlog.Checkpoint.parse(text)


def test_a_proof_file_stands_alone() -> None:
    proof = tlog.inclusion(17, LOG.size, LOG.read)
    text = tlog.proof_file(17, proof, LOG.note())
    assert text.startswith("c2sp.org/tlog-proof@v1\nindex 17\n")
    read = tlog.parse_proof_file(text)
    assert read == tlog.ProofFile(17, tuple(proof), LOG.note())
    assert tlog.parse_proof_file(text.replace("\nindex", "\nextra AAAA\nindex")) == read
    note = tlog.open_note(read.checkpoint, [LOG.key.verifier])
    checkpoint = tlog.Checkpoint.parse(note.text)
    leaf = tlog.leaf_hash(LOG.entries[17])
    assert tlog.verify_inclusion(leaf, read.index, checkpoint.size, checkpoint.root, read.hashes)
    only = Log(events(1))
    assert tlog.parse_proof_file(tlog.proof_file(0, [], only.note())) == tlog.ProofFile(0, (), only.note())


@pytest.mark.parametrize(
    "change",
    [("proof@v1", "proof@v2"), ("index 17", "index 017"), ("index 17\n", ""), ("index 17", "index -1"), ("\n\n", "\n")],
)
def test_what_is_not_a_proof_file_is_refused(change: tuple[str, str]) -> None:
    text = tlog.proof_file(17, tlog.inclusion(17, LOG.size, LOG.read), "checkpoint\n")
    with pytest.raises(tlog.Malformed):
        tlog.parse_proof_file(text.replace(*change))


# --- cosignatures --------------------------------------------------------------------------------------------------


def test_a_cosignature_covers_its_time_and_every_line() -> None:
    key, text = signer(3, "witness.example/w1"), tlog.Checkpoint(ORIGIN, LOG.size, LOG.root).text()
    verifier = cosignatures.Ed25519Cosigner(key.name, key.public)
    assert cosignatures.verifier(verifier.vkey) == verifier
    assert tlog.cosignature_message(7, text).startswith(b"cosignature/v1\ntime 7\n" + ORIGIN.encode())
    signature = cosignatures.cosign(key, text, 1_767_225_600).signature
    assert verifier.verify(text.encode(), signature)
    for bit in (0, 63, 64, len(signature) * 8 - 1):
        assert not verifier.verify(text.encode(), _flipped(signature, bit))
    assert not verifier.verify((text + "more\n").encode(), signature)


def test_an_ml_dsa_44_signature_covers_name_time_origin_size_and_root() -> None:
    """The message as tlog-cosignature draws it, put together by hand."""
    key = cosignatures.Mldsa44Signer("witness.example/w2", Secret(bytearray(b"\x07" * 32)))
    verifier = cosignatures.verifier(key.verifier.vkey)
    assert verifier == key.verifier
    text = tlog.Checkpoint(ORIGIN, LOG.size, LOG.root).text()
    signature = key.cosign(text, 1_767_225_600).signature
    assert len(signature) == 8 + 2420
    assert verifier.verify(text.encode(), signature)
    for bit in (0, 63, 64, len(signature) * 8 - 1):
        assert not verifier.verify(text.encode(), _flipped(signature, bit))
    for other in (
        tlog.Checkpoint(ORIGIN, LOG.size + 1, LOG.root).text(),
        tlog.Checkpoint(ORIGIN, LOG.size, _flipped(LOG.root, 1)).text(),
        tlog.Checkpoint("other.example", LOG.size, LOG.root).text(),
        text + "an extension\n",
        "no checkpoint\n",
    ):
        assert not verifier.verify(other.encode(), signature)
    assert not cosignatures.Mldsa44Cosigner("another.example", key.verifier.public).verify(text.encode(), signature)
    with pytest.raises(tlog.Malformed):
        key.cosign(text + "an extension\n")


def test_a_verifier_key_of_another_kind_or_with_another_id_is_refused() -> None:
    key = signer(3, "witness.example/w1")
    good = tlog.vkey(key.name, tlog.COSIGNATURE, key.public)
    for bad in (
        good[:-1], good.replace("w1", "w2"), tlog.vkey(key.name, b"\x02", key.public), "",
        tlog.vkey(key.name, tlog.ED25519, key.public[:31]), tlog.vkey(key.name, b"\x06", key.public), good + "\n",
    ):  # fmt: skip
        with pytest.raises(tlog.Malformed):
            cosignatures.verifier(bad)


def test_the_module_is_pure() -> None:
    imported = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(Path(tlog.__file__).read_text(encoding="utf-8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= sys.stdlib_module_names
