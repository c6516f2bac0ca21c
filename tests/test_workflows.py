"""The workflows do what they say: they are linted, and what of them can run here is run, against stand-ins on the PATH.

A workflow that is wrong is found out on the day when it is needed, and one with too many rights by somebody else.
"""

import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import typer
import yaml
from botocore.model import OperationModel

from ops import cli
from ops.local.engines.cli_process import find_cli
from ops.pulumi_errors import OLDEST_CLI
from tests.program.engine import DIGEST_IMAGE, PROJECT

FOLDER = PROJECT / ".github" / "workflows"
WORKFLOWS: dict[str, dict[Any, Any]] = {path.name: yaml.safe_load(path.read_text()) for path in FOLDER.glob("*.yml")}
JOBS = [(name, job) for name, workflow in WORKFLOWS.items() for job in workflow["jobs"]]
WRITES = {
    ("pull-request.yml", "preview"): {"id-token"},
    ("pull-request.yml", "comment"): {"pull-requests"},
    ("nightly.yml", "look"): {"id-token"},
    ("release.yml", "image"): {"id-token"},
    ("release.yml", "propose"): {"contents", "pull-requests"},
}
"""What each job may write; what is not here may only read."""
LONG_MINUTES = {("nightly.yml", "torture"): 180}
"""What runs for longer than the others may."""
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "receipts"
ACTIONLINT = shutil.which("actionlint") or next(map(str, CACHE.glob("actionlint-*/actionlint")), None)


CLI = find_cli()


def steps(workflow: str, job: str) -> list[dict[str, Any]]:
    return WORKFLOWS[workflow]["jobs"][job]["steps"]


def script(workflow: str, job: str, name: str) -> str:
    (step,) = [step for step in steps(workflow, job) if step.get("name") == name]
    return step["run"]


def commands(program: str) -> Iterator[list[str]]:
    """Every call of a program in any step, as its words; what is piped or redirected after it is left out."""
    for workflow, job in JOBS:
        for step in steps(workflow, job):
            text = step.get("run", "").replace("\\\n", " ")
            for found in re.findall(rf"(?:^|\"\$\(|\s)({re.escape(program)} [^\n]*)", text):
                lexer = shlex.shlex(found.removesuffix(')"'), posix=True, punctuation_chars="|>")
                lexer.whitespace_split = True
                words: list[str] = []
                for word in lexer:
                    if set(word) <= set("|>"):
                        break
                    words.append(word)
                yield words


@pytest.mark.skipif(ACTIONLINT is None, reason="no actionlint: `make actionlint` builds it where Go is found")
def test_actionlint_finds_nothing():
    done = subprocess.run(
        [str(ACTIONLINT), *map(str, FOLDER.glob("*.yml"))], check=False, capture_output=True, text=True, cwd=PROJECT
    )
    assert done.stdout + done.stderr == ""


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_a_job_has_the_rights_it_needs_a_limit_of_time_and_no_more(workflow, job):
    assert WORKFLOWS[workflow]["permissions"] == {"contents": "read"}
    described = WORKFLOWS[workflow]["jobs"][job]
    rights = described.get("permissions", {})
    assert {name for name, level in rights.items() if level == "write"} == WRITES.get((workflow, job), set())
    assert described["timeout-minutes"] <= LONG_MINUTES.get((workflow, job), 40)
    if "id-token" in rights:
        # What can take on a role in AWS can write nothing in GitHub.
        assert WRITES[workflow, job] == {"id-token"}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yml")), ids=lambda path: path.name)
def test_every_action_is_pinned_by_its_whole_commit(path):
    used = re.findall(r"uses: (\S+)(.*)", path.read_text())
    assert used
    for action, remark in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", remark), (action, remark)


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_nothing_from_outside_is_pasted_into_a_script(workflow, job):
    for step in steps(workflow, job):
        assert "${{" not in step.get("run", ""), step


def test_the_whole_suite_runs_every_night_on_each_python_that_the_project_declares_and_so_does_the_long_form():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    ((oldest, newest),) = re.findall(r"^>=3\.(\d+),<3\.(\d+)$", project["requires-python"])
    suite = WORKFLOWS["nightly.yml"]["jobs"]["suite"]
    assert suite["strategy"]["matrix"]["python"] == [f"3.{minor}" for minor in range(int(oldest), int(newest))]
    assert "make test" in {step.get("run") for step in steps("nightly.yml", "suite")}
    assert "make torture" in {step.get("run") for step in steps("nightly.yml", "torture")}


def test_a_pull_request_writes_nothing_and_its_code_never_runs_beside_a_token_that_can():
    (trigger,) = WORKFLOWS["pull-request.yml"][True]
    assert trigger == "pull_request"
    text = (FOLDER / "pull-request.yml").read_text()
    assert "docker" not in text
    assert not re.search(r"pulumi (up|destroy|refresh|import|state|config set)", text)
    assert not any("checkout" in step.get("uses", "") for step in steps("pull-request.yml", "comment"))


def test_every_workflow_installs_one_version_of_the_cli_that_fits_the_program():
    versions = {
        step["with"]["pulumi-version"]
        for workflow, job in JOBS
        for step in steps(workflow, job)
        if step.get("uses", "").startswith("pulumi/actions@")
    }
    (version,) = versions
    assert tuple(map(int, version.split("."))) >= (OLDEST_CLI.major, OLDEST_CLI.minor)


def test_the_commands_of_receipts_parse():
    found = list(commands(".venv/bin/receipts"))
    assert found
    for words in found:
        root = typer.main.get_command(cli.application)
        with root.make_context("receipts", words[1:], resilient_parsing=True) as context:
            name, command, rest = root.resolve_command(context, words[1:])  # type: ignore[attr-defined]
            with command.make_context(name, rest, parent=context) as inner:
                assert inner.params["stack"] == "$STACK"


@pytest.mark.skipif(CLI is None, reason="no Pulumi CLI: `make engine` builds one")
def test_the_pulumi_commands_have_the_options_that_they_are_given():
    found = list(commands("pulumi"))
    assert {" ".join(words[:2]) for words in found} == {"pulumi preview", "pulumi policy"}
    for words in found:
        done = subprocess.run([str(CLI), *words[1:], "--help"], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    wrong = [str(CLI), "preview", "--no-such-option", "--help"]
    refused = subprocess.run(wrong, check=False, capture_output=True, text=True)
    assert refused.returncode != 0


@pytest.mark.parametrize("words", list(commands("aws")), ids=lambda words: " ".join(words[1:3]))
def test_the_calls_of_aws_have_the_parameters_that_they_are_given(words):
    service, operation, *rest = words[1:]
    client = boto3.client(service, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    if operation == "wait":
        name, *rest = rest
        assert name.replace("-", "_") in client.waiter_names
        operation = client.get_waiter(name.replace("-", "_")).config.operation
    elif operation == "get-login-password":
        operation = "GetAuthorizationToken"
    else:
        operation = client.meta.method_to_api_mapping[operation.replace("-", "_")]
    model: OperationModel = client.meta.service_model.operation_model(operation)
    members = model.input_shape.members if model.input_shape else {}
    known = {re.sub(r"(?<=[a-z])(?=[A-Z])", "-", member).lower() for member in members}
    options = {word.removeprefix("--") for word in rest if word.startswith("--")}
    assert options <= known | {"query", "output", "no-paginate"}
    required = {
        re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower() for name in getattr(model.input_shape, "required_members", [])
    }
    assert required <= options


@pytest.mark.parametrize(
    ("findings", "critical"),
    [({}, 0), ({"imageScanFindings": {"findingSeverityCounts": {"CRITICAL": 2, "HIGH": 1}}}, 2)],
)
def test_the_scan_counts_the_critical_findings(findings, critical):
    import jmespath

    (query,) = re.findall(r"--query '([^']*)'", script("release.yml", "image", "Scan it"))
    assert jmespath.search(query, findings) == critical


class Place:
    """A folder where a step runs, with programs of our own first on the PATH; each notes how it was called."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.programs = folder / "work", folder / "bin"
        for made in (self.folder, self.programs):
            made.mkdir()
        (self.folder / ".venv").symlink_to(PROJECT / ".venv")
        (self.folder / "ops").symlink_to(PROJECT / "ops")
        self.calls_file = folder / "calls"

    def program(self, name: str, body: str = "") -> None:
        path = self.programs / name
        path.write_text(f'#!/bin/bash\nprintf "%s\\n" "{name} $*" >>{self.calls_file}\n{body}\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def run(self, text: str, **environment: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        # As the runner calls it.
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", text]
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**os.environ, "PATH": path, **environment},
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )

    @property
    def calls(self) -> list[str]:
        return self.calls_file.read_text().splitlines() if self.calls_file.exists() else []


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize(("code", "told"), [(0, "3 to create"), (255, "failed with exit code 255")])
def test_a_preview_becomes_a_comment_also_when_it_is_refused(place, code, told):
    place.program("pulumi", f"echo 'Resources:'; echo '    + 3 to create'; exit {code}")
    done = place.run(script("pull-request.yml", "preview", "Preview"), STACK="dev")
    assert done.returncode == code
    assert "3 to create" in done.stdout
    assert (place.folder / "comment.md").read_text().startswith(f"### `pulumi preview` of `dev`: {told}")
    assert place.calls[0].startswith("pulumi preview --stack dev --policy-pack .venv/bin/one-consumer-pack ")


def test_the_comment_of_a_pull_request_is_written_once_and_then_edited(place):
    place.program("gh")
    place.run(script("pull-request.yml", "comment", "Comment"), NUMBER="7", GITHUB_REPOSITORY="o/r")
    assert place.calls == ["gh pr comment 7 --repo o/r --edit-last --create-if-none --body-file comment.md"]


def test_the_nightly_looks_are_taken_each_by_itself_and_told_to_the_topic():
    looks = [step for step in steps("nightly.yml", "look") if step.get("id")]
    assert [step["id"] for step in looks] == ["drift", "policies", "consumers"]
    assert {step["if"] for step in looks} == {"${{ !cancelled() }}"}
    tell = steps("nightly.yml", "look")[-1]
    assert tell["if"] == "${{ failure() }}"
    assert all(f"steps.{step['id']}.outcome" in tell["env"]["FOUND"] for step in looks)


def test_the_alarm_reaches_the_topic(place):
    place.program("aws")
    tell = script("nightly.yml", "look", "Tell the alarm topic")
    place.run(tell, TOPIC="arn:topic", STACK="dev", FOUND="drift: failure", RUN="https://run")
    said = "--subject receipts dev --message drift: failure. https://run"
    assert place.calls == [f"aws sns publish --topic-arn arn:topic {said}"]


def test_a_candidate_is_built_for_the_functions_processor_and_told_by_its_digest(place, tmp_path):
    digest = DIGEST_IMAGE.split("@")[1]
    place.program("aws")
    place.program("docker", f"""[ "$1" = login ] && cat; echo '{{"containerimage.digest": "{digest}"}}' >built.json""")
    outputs = tmp_path / "outputs"
    environment = {"REPOSITORY": "1.dkr.ecr/receipts", "GITHUB_RUN_ID": "9", "GITHUB_RUN_ATTEMPT": "1"}
    done = place.run(script("release.yml", "image", "Build a candidate"), **environment, GITHUB_OUTPUT=str(outputs))
    assert done.returncode == 0, done.stderr
    assert outputs.read_text().splitlines() == [f"digest={digest}", f"image=1.dkr.ecr/receipts@{digest}"]
    assert any("login --username AWS --password-stdin 1.dkr.ecr" in call for call in place.calls)
    assert any("--platform linux/amd64" in call and call.endswith(" .") for call in place.calls)


@pytest.mark.parametrize(("critical", "passes"), [("0", True), ("1", False), ("None", False)])
def test_an_image_with_critical_findings_gets_no_name(place, critical, passes):
    place.program("aws", f'[ "$2" = wait ] || echo {critical}')
    done = place.run(script("release.yml", "image", "Scan it"), REPOSITORY="1.dkr.ecr/team/receipts", DIGEST="sha256:a")
    assert (done.returncode == 0) is passes
    assert all("--repository-name team/receipts --image-id imageDigest=sha256:a" in call for call in place.calls)


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)  # noqa: S607
    return done.stdout.strip()


def test_a_pull_request_puts_the_digest_into_the_stacks_configuration(place, tmp_path):
    place.program("gh")
    shutil.copy(PROJECT / "Pulumi.dev.yaml", place.folder)
    git(tmp_path, "init", "--quiet", "--bare", "origin")
    git(place.folder, "init", "--quiet", "--initial-branch", "main")
    git(place.folder, "add", "Pulumi.dev.yaml")
    git(place.folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message", "before")
    git(place.folder, "remote", "add", "origin", str(tmp_path / "origin"))
    environment = {"STACK": "team/receipts/dev", "IMAGE": DIGEST_IMAGE, "VERSION": "v1.2.3", "BASE": "main"}
    done = place.run(script("release.yml", "propose", "Propose its digest"), **environment)
    assert done.returncode == 0, done.stderr
    kept = yaml.safe_load(git(tmp_path / "origin", "show", "image-v1.2.3:Pulumi.dev.yaml"))
    before = yaml.safe_load((PROJECT / "Pulumi.dev.yaml").read_text())
    assert kept["config"] == before["config"] | {"receipts:imageUri": DIGEST_IMAGE}
    (call,) = place.calls
    assert call.startswith("gh pr create --base main --head image-v1.2.3 ")
    assert DIGEST_IMAGE in call


def test_every_variable_and_secret_is_explained():
    text = (PROJECT / "docs" / "github.md").read_text()
    used = {name for path in FOLDER.glob("*.yml") for name in re.findall(r"(?:vars|secrets)\.(\w+)", path.read_text())}
    assert used == set(re.findall(r"^\| ((?:[A-Z]+_)*[A-Z]+) \|", text, flags=re.MULTILINE))
