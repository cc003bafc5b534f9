"""The unpickler gives what Python's pickle gives, as long as nothing has to be run."""

from __future__ import annotations

import contextlib
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeyolo.checkpoints.records import IncompleteError, RefusedError
from edgeyolo.checkpoints.unpickler import Unpickler

KEYS = st.text(max_size=8) | st.integers(-(2**63), 2**63 - 1) | st.none() | st.binary(max_size=4)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=False)
    | st.text(max_size=300)
    | st.binary(max_size=300)
    | st.sets(KEYS, max_size=4)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=5)
    ),
    max_leaves=30,
)


@given(value=VALUES, protocol=st.integers(0, 5))
def test_plain_values_come_back_as_from_pickle(value: Any, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    unpickler = Unpickler(b"before" + data + b"after", len(b"before"))
    assert unpickler.load() == value
    assert unpickler.position == len(b"before") + len(data)


@given(value=VALUES, protocol=st.integers(0, 5), data=st.data())
def test_a_pickle_that_was_cut_is_incomplete(value: Any, protocol: int, data: Any) -> None:
    whole = pickle.dumps(value, protocol)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(IncompleteError):
        Unpickler(whole[:cut]).load()


@given(noise=st.binary(max_size=200))
def test_noise_is_refused_or_read_but_never_crashes(noise: bytes) -> None:
    # ValueError: text that is not UTF-8; callers report the file as damaged.
    with contextlib.suppress(RefusedError, ValueError):
        Unpickler(noise).load()
