"""The image, without Docker: just what the Dockerfile copies, with just its requirements, every entry point started.

A failure here is a function that cannot be imported on AWS, seen only after a deployment: a hand-listed archive missed
a module three times, and a worker image once ran Lambda's entry point.
"""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pytest

from compaction_handler.environment import MergeEnvironment, StreamProcessorEnvironment
from compaction_worker.environment import WorkerEnvironment
from embed_lambda.environment import EmbedLambdaEnvironment
from ops.local.runtime_interface import FunctionDefinition, FunctionProcess
from ops.local.timeline import Timeline
from ops.rendering import encode
from pipeline.embedding.embedders.hashing import HASHING_MODEL
from pipeline.environment import Environment
from tests.pictures import files
from upload_images.environment import ProcessOcrResultsEnvironment
from upload_images.pictures.answer import Answer
from upload_images.pictures.environment import ReadPicturesEnvironment

ROOT = Path(__file__).resolve().parents[1]
UV = Path(sys.executable).parent / "uv"
FUNCTIONS: dict[str, type[Environment]] = {
    "upload_images.handler.process_ocr_results": ProcessOcrResultsEnvironment,
    "upload_images.pictures.handler.read_pictures": ReadPicturesEnvironment,
    "embed_lambda.handler.embed": EmbedLambdaEnvironment,
    "compaction_handler.stream_processor.process_stream": StreamProcessorEnvironment,
    "compaction_handler.handler.merge": MergeEnvironment,
}


@dataclass(frozen=True, kw_only=True)
class BuiltImage:
    """What a container would hold."""

    application: Path
    python: Path
    variables: Mapping[str, str]

    def environment(self, model: type[Environment], directory: Path) -> dict[str, str]:
        """Every variable of an entry point and of the Dockerfile, and nothing of this machine's; no passwd entry."""
        return {
            **self.variables,
            "PYTHONPATH": str(ROOT / "tests" / "nobody"),
            **{name: example(model, field, directory) for field, name in model.variable_names().items()},
            "PATH": "/usr/bin:/bin",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            # Nobody listens there: no entry point may need AWS in order to start.
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        }


def example(model: type[Environment], field: str, directory: Path) -> str:
    """A value of the right type for a variable."""
    annotation = model.model_fields[field].annotation
    if field == "embedding_model":
        return HASHING_MODEL
    if field == "embedder":
        return "hashing"
    if field.endswith(("_directory", "_file")):
        return str(directory / field)
    if annotation is bool:
        return "true"
    if annotation is int or int in get_args(annotation):
        return "256" if field == "embedding_dimensions" else "30"
    choices = [choice for choice in get_args(annotation) if isinstance(choice, str)]
    return choices[0] if choices else "https://127.0.0.1/queue"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> BuiltImage:
    """Follow the Dockerfile: its COPY lines under the allowlist, its requirements, its Python if it is here."""
    application = tmp_path_factory.mktemp("image") / "app"
    dockerfile = (ROOT / "Dockerfile").read_text()
    ignored = [
        line.removeprefix("**/") for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("**/")
    ]
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")}
    for source, target in re.findall(r"^COPY (\S+) (\S+)$", dockerfile, re.MULTILINE):
        assert source in allowed, f"{source} never reaches the builder"
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, application / target, ignore=shutil.ignore_patterns(*ignored))
        else:
            (application / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, application / target)
    version = re.search(r"^FROM python:(\d+\.\d+)", dockerfile, re.MULTILINE)
    assert version is not None
    virtual = application.parent / "venv"
    for python in (version[1], sys.executable):
        command = [str(UV), "venv", "--quiet", "--no-python-downloads", "--python", python, str(virtual)]
        if subprocess.run(command, check=False, capture_output=True).returncode == 0:
            break
    install = [str(UV), "pip", "install", "--quiet", "--python", str(virtual / "bin" / "python")]
    subprocess.run([*install, "--requirement", str(application / "requirements" / "runtime.txt")], check=True)
    set_there = re.search(r"^ENV (.+)$", dockerfile, re.MULTILINE)
    assert set_there is not None
    variables = dict(item.split("=", 1) for item in set_there[1].split())
    return BuiltImage(application=application, python=virtual / "bin" / "python", variables=variables)


def test_chroma_is_imported_by_a_user_who_has_no_home(image):
    # A function's user has no passwd entry, and Lambda sets no HOME; chromadb looks for its home when it is imported.
    environment = image.environment(MergeEnvironment, Path("/nowhere"))
    result = subprocess.run(
        [str(image.python), "-c", "import pwd, pathlib, chromadb; print(pathlib.Path.home())"],
        cwd=image.application,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    # The one place that both hosts let a process write to.
    assert result.stdout.strip() == "/tmp"  # noqa: S108 - a volume of the task, the function's own disk


def test_the_image_holds_no_infrastructure(image):
    assert not list(image.application.rglob("component.py"))
    assert not (image.application / "stack").exists()
    assert not list((image.python.parents[1]).rglob("site-packages/pulumi"))


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    return tmp_path / "process.log"


@pytest.mark.parametrize(("handler", "model"), FUNCTIONS.items(), ids=list(FUNCTIONS))
def test_every_function_starts_in_the_image_and_answers(image, handler, model, tmp_path, log_file):
    definition = FunctionDefinition(
        name="function",
        command=(str(image.python), "-m", "awslambdaric", handler),
        environment={**image.environment(model, tmp_path), "_HANDLER": handler},
        timeout_seconds=60,
        revision="1",
    )
    function = FunctionProcess(
        definition,
        directory=image.application,
        log_file=log_file,
        timeline=Timeline(log_file.parent / "timeline.jsonl"),
    )
    try:
        result = function.invoke(b'{"Records": []}')
    finally:
        function.stop()
    assert result.succeeded, (result.body, log_file.read_text())
    assert json.loads(result.body) == {"batchItemFailures": []}


@pytest.mark.parametrize("kind", ["JPEG", "PDF"])
def test_a_picture_is_read_in_the_image(image, kind):
    # Engine, its data and the decoders come with the wheels; nothing of them may be this machine's.
    result = subprocess.run(
        [str(image.python), "-m", "upload_images.pictures.reading"],
        input=encode(files.receipt(), kind),
        cwd=image.application,
        env=dict(image.variables),
        capture_output=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    answer = Answer.model_validate_json(result.stdout)
    assert "HOLLOW OAK HARDWARE" in answer.documents[0]


def test_the_worker_starts_in_the_image_polls_and_stops_when_asked(image, tmp_path):
    process = subprocess.Popen(
        [str(image.python), "-m", "compaction_worker"],
        cwd=image.application,
        env=image.environment(WorkerEnvironment, tmp_path),
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        for line in process.stderr:
            if '"polling"' in line:
                break
        else:
            pytest.fail(f"the worker ended with {process.wait()} and never polled")
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
        assert process.wait(60) == 0


def test_a_worker_without_its_variables_says_which_and_ends(image):
    result = subprocess.run(
        [str(image.python), "-m", "compaction_worker"],
        cwd=image.application,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert "ENVIRONMENT_INVALID" in result.stderr
    assert "EMBED_QUEUE_URL: Field required" in result.stderr
