"""A CompactionRun as a DynamoDB item, and back. Pure."""

import json
from typing import Any

from pipeline.contracts.identifiers import COLLECTIONS
from pipeline.contracts.run import RUN_TYPE, CompactionRun, unfinished_state
from pipeline.contracts.versions import require_supported_version
from pipeline.errors import ErrorCode, PermanentError

Item = dict[str, dict[str, Any]]


def run_to_item(run: CompactionRun) -> Item:
    """The DynamoDB item of a run, its two collections flattened to ``lines_...`` and ``words_...``."""
    fields = run.model_dump(mode="json", exclude={"lines", "words", "changes"}, exclude_none=True)
    if run.changes:
        fields["changes"] = json.dumps(run.changes, ensure_ascii=False)
    for collection in COLLECTIONS:
        progress = run.progress(collection).model_dump(mode="json", exclude_none=True)
        fields |= {f"{collection}_{name}": value for name, value in progress.items()}
    unfinished = unfinished_state(run.lines.state, run.words.state)
    if unfinished is not None:
        fields["unfinished_state"] = unfinished.value
    fields |= {"PK": run.partition_key, "SK": run.sort_key, "TYPE": RUN_TYPE}
    return {name: attribute(value) for name, value in fields.items()}


def run_from_item(item: Item) -> CompactionRun:
    """Read an item back, from the table or from a stream record's image.

    Raises:
        PermanentError: VERSION_UNSUPPORTED, MESSAGE_INVALID when the item is not a run.
    """
    try:
        plain: dict[str, Any] = {
            name: int(value["N"]) if "N" in value else value["S"]
            for name, value in item.items()
            if "N" in value or "S" in value
        }
        require_supported_version(plain.get("version"), "CompactionRun")
        plain["changes"] = json.loads(plain.get("changes", "{}"))
        for collection in COLLECTIONS:
            prefix = f"{collection}_"
            plain[collection] = {
                name.removeprefix(prefix): value for name, value in plain.items() if name.startswith(prefix)
            }
        return CompactionRun.model_validate(plain)
    # Everything that an item of another form, or JSON that is nested too deep, can raise.
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        name = f"{item.get('PK')} {item.get('SK')}" if isinstance(item, dict) else "without attributes"
        raise PermanentError(
            ErrorCode.MESSAGE_INVALID,
            value=f"item {name}: {error}",
            rule="an item of type COMPACTION_RUN has the fields of docs/contracts.md",
            way_out="find out who wrote it; upload the receipt again",
        ) from error


def attribute(value: str | int) -> dict[str, str]:
    """A value as DynamoDB takes it."""
    return {"N": str(value)} if isinstance(value, int) else {"S": value}
