"""What may happen to a collection, as values that hypothesis draws: receipts, rows, corrections, orders of arrival."""

from dataclasses import dataclass

from hypothesis import strategies as st

MOMENTS = st.integers(min_value=0, max_value=5)
"""When it happened, whenever it is recorded; of one moment, the later recorded is the later."""
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
    moment: int
    rows: int = 0
    fields: tuple[tuple[str, str], ...] = ()


CHANGES = st.one_of(
    st.builds(Change, kind=st.just("upsert"), receipt=RECEIPTS, moment=MOMENTS, rows=ROW_COUNTS),
    st.builds(Change, kind=st.just("delete"), receipt=RECEIPTS, moment=MOMENTS),
    st.builds(Change, kind=st.just("metadata"), receipt=RECEIPTS, moment=MOMENTS, fields=FIELDS),
)
ARRIVALS = st.randoms(use_true_random=False)
