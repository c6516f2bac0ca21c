"""Contract versions: ``MAJOR.MINOR``. A reader accepts every minor of its majors and refuses all other majors."""

from collections.abc import Collection

from pipeline.errors import ErrorCode, PermanentError

CONTRACT_VERSION = "1.0"
SUPPORTED_MAJOR = 1
SHOWN_CHARACTERS = 40
DELTA_VERSION = "1"
"""Part of the run id: raised when the embedding of the same input changes, so that receipts are embedded again. The
format of the object has a version of its own (``contracts/delta.py``): its change pays for nothing again."""


def require_supported_version(version: object, contract: str, *, majors: Collection[int] = (SUPPORTED_MAJOR,)) -> None:
    """Refuse a document whose major version this code does not know.

    Args:
        version: what the document says.
        contract: what kind of document it is, for the error.
        majors: the major versions that its reader knows.

    Raises:
        PermanentError: VERSION_UNSUPPORTED.
    """
    major = str(version).split(".", 1)[0]
    if major not in map(str, majors):
        raise PermanentError(
            ErrorCode.VERSION_UNSUPPORTED,
            value=f"{contract} has version {str(version)[:SHOWN_CHARACTERS]!r}",
            rule=f"this release reads major version {' and '.join(map(str, majors))}",
            way_out="deploy the release that knows this version, then redrive the dead letter queue",
        )
