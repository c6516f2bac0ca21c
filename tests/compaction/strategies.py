"""What may happen to a collection, as values that hypothesis draws: receipts, rows, corrections, orders of arrival."""

from dataclasses import dataclass

from hypothesis import strategies as st

RECEIPTS = st.integers(min_value=1, max_value=4)
ROW_COUNTS = st.integers(min_value=0, max_value=5)
FIELDS = st.dictionaries(
    st.sampled_from(["merchant_name", "merchant_source"]), st.sampled_from(["A", "B", "C"]), min_size=1, max_size=2
).map(lambda fields: tuple(sorted(fields.items())))


@dataclass(frozen=True, kw_only=True)
class Change:
    """One operation on one receipt, before it is recorded."""

    kind: str
    receipt: int
    rows: int = 0
    fields: tuple[tuple[str, str], ...] = ()


CHANGES = st.one_of(
    st.builds(Change, kind=st.just("upsert"), receipt=RECEIPTS, rows=ROW_COUNTS),
    st.builds(Change, kind=st.just("delete"), receipt=RECEIPTS),
    st.builds(Change, kind=st.just("metadata"), receipt=RECEIPTS, fields=FIELDS),
)
ARRIVALS = st.randoms(use_true_random=False)
