"""Contract versions: ``MAJOR.MINOR``. A reader accepts every minor of its major and refuses all other majors."""

from pipeline.errors import ErrorCode, PermanentError

CONTRACT_VERSION = "1.0"
SUPPORTED_MAJOR = 1
DELTA_VERSION = "1"
"""Part of the run id: raised when a delta's content changes for the same input, so that receipts are embedded anew."""


def require_supported_version(version: object, contract: str) -> None:
    """Refuse a document whose major version this code does not know.

    Raises:
        PermanentError: VERSION_UNSUPPORTED.
    """
    major = str(version).split(".", 1)[0]
    if major != str(SUPPORTED_MAJOR):
        raise PermanentError(
            ErrorCode.VERSION_UNSUPPORTED,
            value=f"{contract} has version {version!r}",
            rule=f"this release reads major version {SUPPORTED_MAJOR}",
            way_out="deploy the release that knows this version, then redrive the dead letter queue",
        )
