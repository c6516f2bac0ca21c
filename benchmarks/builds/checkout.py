"""The files of an older commit in a directory of their own.

They are exported (``git archive``) and not a git worktree: a benchmark that is killed leaves a directory in the
temporary folder and nothing in the repository.
"""

import io
import subprocess
import tarfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def export_commit(commit: str, directory: Path) -> Path:
    """Write the files of ``commit`` to ``directory``, which is made.

    Raises:
        RuntimeError: this repository does not have the commit.
    """
    ended = subprocess.run(
        ["git", "archive", "--format=tar", commit],  # noqa: S607 - the git on the PATH
        cwd=REPOSITORY,
        check=False,
        capture_output=True,
    )
    if ended.returncode != 0:
        raise RuntimeError(f"commit {commit}: {ended.stderr.decode().strip()}; a shallow clone has no old commits")
    directory.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(ended.stdout)) as archive:
        archive.extractall(directory, filter="data")
    return directory
