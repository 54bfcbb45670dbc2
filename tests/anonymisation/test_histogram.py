"""Tuples, and how many rows and persons stand behind them."""

from __future__ import annotations

from collections import Counter
from math import prod

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from privacy.anonymisation.histogram import packed
from tests.anonymisation.made_tables import Made, tables


@given(tables())
def test_a_histogram_counts_the_rows_and_what_stands_beside_them(made: Made) -> None:
    histogram, tuple_of_row = made.histogram()
    read = [
        tuple(hierarchy.leaves[code] for hierarchy, code in zip(made.hierarchies, codes, strict=True))
        for codes in histogram.tuples
    ]
    assert [read[number] for number in tuple_of_row] == list(made.rows)
    assert dict(zip(read, histogram.rows.tolist(), strict=True)) == Counter(made.rows)
    assert histogram.tuples.tolist() == sorted(histogram.tuples.tolist())
    (column,) = histogram.sensitive
    pairs = Counter(zip(made.rows, made.sensitive, strict=True))
    assert pairs == {
        (read[number], column.values[column.codes[place]]): column.counts[place]
        for number in range(len(read))
        for place in range(column.starts[number], column.starts[number + 1])
    }


@given(tables(), st.randoms(use_true_random=False), st.integers(1, 8))
def test_weights_prove_persons_and_never_more_than_there_are(made: Made, random: np.random.Generator, k: int) -> None:
    """For whatever tuples are taken together."""
    histogram, tuple_of_row = made.histogram()
    taken = {number for number in range(len(histogram.rows)) if random.random() < 0.5}
    persons = {made.persons[row] for row, number in enumerate(tuple_of_row) if number in taken}
    weight = int(histogram.weights[list(taken)].sum()) if taken else 0
    assert weight <= len(persons) * histogram.unit
    if weight >= histogram.least_weight(k):
        assert len(persons) >= k
    whole = int(histogram.weights.sum())
    assert (whole >= histogram.least_weight(k)) == (len(set(made.persons)) >= k)


@given(st.lists(st.integers(1, 2**31 - 1), min_size=1, max_size=6), st.data())
def test_packed_keys_are_distinct_and_in_order_past_62_bits(sizes: list[int], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.tuples(*(st.integers(0, size - 1) for size in sizes)), min_size=1, max_size=20))
    keys = packed([np.asarray(column, dtype=np.int32) for column in zip(*rows, strict=True)], sizes).tolist()
    assert sorted(range(len(rows)), key=keys.__getitem__) == sorted(range(len(rows)), key=rows.__getitem__)
    assert len(set(keys)) == len(set(rows))
    if prod(sizes) <= 2**62:
        assert max(keys) < prod(sizes)
