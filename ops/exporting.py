"""``receipts export``: a published version as plain files, which ``pipeline/collections/export.py`` writes."""

from collections.abc import Callable
from pathlib import Path

from ops.published import published_version
from ops.target import OperatorError, Target
from pipeline.collections.export import ExportDescription, export_version, require_empty
from pipeline.contracts.identifiers import CollectionName


def export(
    target: Target,
    collection: CollectionName,
    directory: Path,
    on_progress: Callable[[int, int], None] | None = None,
) -> ExportDescription:
    """Export the current version of a collection.

    Raises:
        OperatorError: OUTPUT_TAKEN before anything is read, NOTHING_PUBLISHED, OUTPUT_UNWRITABLE.
    """
    try:
        require_empty(directory)
        with published_version(target, collection) as published:
            return export_version(published, directory, on_progress)
    except FileExistsError as error:
        raise OperatorError(
            "OUTPUT_TAKEN", f"{error}, and an export overwrites nothing", "name a new or an empty directory"
        ) from error
    except OSError as error:
        raise OperatorError(
            "OUTPUT_UNWRITABLE",
            f"the export to {directory} failed, and nothing of it is left: {error}",
            "free space there or name another directory",
        ) from error
