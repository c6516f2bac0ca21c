"""What a person does to receipts: remove one, correct its merchant, apply one again. Each is one recorded operation.

Nothing is changed here: an operation travels like any other, through the table's stream. It happened when AWS's clock
says, and after everything that was recorded of the receipt, which is what the person saw.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from pydantic import TypeAdapter, ValidationError

from ops.target import OperatorError, Target
from pipeline.collections.receipts import (
    ReceiptKey,
    ReceiptState,
    applied_again,
    deciding_run,
    fold,
    merchant_changed,
    operation_of,
    without_rows,
)
from pipeline.contracts.limits import MerchantName
from pipeline.contracts.messages import RunReference
from pipeline.contracts.run import CompactionRun
from pipeline.runs.repository import RunRepository

OPERATOR = "operator"
"""The consumer of a run that a person recorded."""


def repository(target: Target) -> RunRepository:
    """The runs of a stack."""
    return RunRepository(target.outputs["tableName"], target.dynamodb)


def remove(target: Target, receipt: ReceiptKey) -> RunReference:
    """Record that a receipt is removed from both collections.

    Raises:
        OperatorError: RECEIPT_UNKNOWN, RECEIPT_REMOVED.
    """
    moment = _after(target, receipt, _require_there(target, receipt))
    return _record(target, without_rows(receipt, "delete", **_operation(target, moment)))


def remove_unseen(target: Target, receipt: ReceiptKey) -> RunReference:
    """Record that a receipt is removed, whether anything of it was recorded or not.

    An upload that is still on its way is older than this removal, so it changes nothing when it arrives.
    """
    runs = repository(target).of_receipt(UUID(receipt.image_id), receipt.receipt_id)
    moment = _after(target, receipt, runs)
    return _record(target, without_rows(receipt, "delete", **_operation(target, moment)))


def correct(target: Target, receipt: ReceiptKey, merchant: str) -> RunReference:
    """Record who the merchant of a receipt is, on every line and word of it.

    Raises:
        OperatorError: RECEIPT_UNKNOWN, RECEIPT_REMOVED, MERCHANT_EMPTY, MERCHANT_INVALID.
    """
    name = merchant.strip()
    if not name:
        raise OperatorError("MERCHANT_EMPTY", "the merchant's name is empty", "give the name as the receipt prints it")
    try:
        TypeAdapter(MerchantName).validate_python(name)
    except ValidationError as error:
        raise OperatorError(
            "MERCHANT_INVALID",
            f"the merchant's name: {error.errors()[0]['msg'].removeprefix('Value error, ')}",
            "give the name as the receipt prints it",
        ) from error
    moment = _after(target, receipt, _require_there(target, receipt))
    return _record(target, merchant_changed(receipt, name, "given", **_operation(target, moment)))


def apply_again(target: Target, receipt: ReceiptKey, runs: Iterable[CompactionRun], latest: int) -> RunReference:
    """Record what a receipt is by its runs once more: its rows with their corrections, or its removal.

    It happened when that did: an upload that is still on its way is newer.

    Args:
        target: the stack.
        receipt: which.
        runs: all of the receipt's; a receipt without any is removed.
        latest: the version of its last operation, read before the runs.

    Raises:
        RetryableError: RUN_CONFLICT when something newer was recorded meanwhile.
    """
    known = list(runs)
    deciding = deciding_run(known)
    moment = datetime.now(UTC)
    if deciding is None or deciding.kind == "delete":
        happened_at = _moment(target, receipt) if deciding is None else deciding.happened_at
        removal = without_rows(receipt, "delete", **_operation(target, moment), uploaded_at=happened_at)
        return _record(target, removal, only_after=latest)
    changes = fold(ReceiptState(), map(operation_of, known)).changes
    again = applied_again(deciding, run_id=uuid4().hex, changes=changes, consumer=OPERATOR, moment=moment)
    return _record(target, again, only_after=latest)


def _moment(target: Target, receipt: ReceiptKey) -> datetime:
    return repository(target).moment(UUID(receipt.image_id), receipt.receipt_id)


def _after(target: Target, receipt: ReceiptKey, runs: Sequence[CompactionRun]) -> datetime:
    return max([_moment(target, receipt), *(run.happened_at + timedelta(microseconds=1) for run in runs)])


def _require_there(target: Target, receipt: ReceiptKey) -> list[CompactionRun]:
    """The receipt's runs; refuse one that is not there, nor will be."""
    runs = repository(target).of_receipt(UUID(receipt.image_id), receipt.receipt_id)
    deciding = deciding_run(runs)
    name = f"receipt {receipt.receipt_id} of image {receipt.image_id}"
    if deciding is None:
        raise OperatorError("RECEIPT_UNKNOWN", f"{name} was never embedded", "check them; `receipts search` shows ids")
    if deciding.kind == "delete":
        raise OperatorError("RECEIPT_REMOVED", f"{name} was removed", "upload its OCR result to have it again")
    return runs


def _operation(target: Target, moment: datetime) -> dict[str, Any]:
    """What every run of a person has."""
    return {
        # Drawn and not computed: a person who says the same again means it again.
        "run_id": uuid4().hex,
        "embedding_model": target.outputs["embeddingModel"],
        "dimensions": int(target.outputs["embeddingDimensions"]),
        "delta_bucket": target.outputs["vectorsBucket"],
        "consumer": OPERATOR,
        "moment": moment,
    }


def _record(target: Target, run: CompactionRun, *, only_after: int | None = None) -> RunReference:
    repository(target).record(run, only_after=only_after)
    return run.reference
