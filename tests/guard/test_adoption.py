"""docs/adopt.md, tried: every program of the page, from an empty folder, with the wheel alone.

A team that follows a page that does not work adopts nothing. The wheel and its environment are made once, in four
seconds, of what the installation of this project has left in uv's cache.
"""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from one_consumer import VERSION
from one_consumer.audit.account import RIGHTS
from one_consumer.audit.judgement import ExpectedQueue, audit
from one_consumer.claim.refusals import ClaimCode, ClaimRefused
from one_consumer.live.observer import ConsumerObserver
from one_consumer.pack.codes import Code
from ops.local.control import SupervisorClient, make_private
from ops.local.emulator import REGION
from ops.local.engines.provider import serve
from ops.local.provisioners.context import Context
from ops.local.provisioners.registry import build_registry
from ops.local.stack import LocalStack
from tests.engine.live import client, long_list
from tests.policy import styles
from tests.policy.dumps import Dump, Moment, Text
from tests.policy.recorded import graph_of, judged
from tests.policy.test_engine import found_cli
from tests.program.engine import PROJECT, Recording, run_program
from tests.world import create_queue, emulator_clients

PAGE = (PROJECT / "docs" / "adopt.md").read_text()
BLOCKS = dict(re.findall(r"^```(?:python|json) (\w+)\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL))
MAPPING, SERVICE, LOCK = (
    "aws:lambda/eventSourceMapping:EventSourceMapping",
    "aws:ecs/service:Service",
    "aws:sqs/queuePolicy:QueuePolicy",
)
UV = Path(sys.executable).parent / "uv"
SECONDS = 120
ASKED = ("sqs", "lambda", "ecs", "iam", "pipes", "events", "scheduler")
"""The services that an audit asks."""


def program(end: str, directory: Path) -> Path:
    """A whole program of the page as a file."""
    path = directory / "__main__.py"
    path.write_text(f"{BLOCKS['beginning']}\n{BLOCKS[end]}")
    return path


def recorded(end: str, directory: Path, consumer: str = "lambda") -> Recording:
    return run_program({"receipts:embedConsumer": consumer}, program=program(end, directory))


def findings(recording: Recording) -> set[Code]:
    return {found.code for found in judged(graph_of(recording))}


def test_before_both_consume_and_aws_would_refuse_the_window(tmp_path):
    assert findings(recorded("before", tmp_path)) >= {Code.ONE_CONSUMER, Code.FIFO_BATCHING_WINDOW}


@pytest.mark.parametrize("end", ["claim", "switch"])
@pytest.mark.parametrize("consumer", ["lambda", "ecs"])
def test_after_one_consumes_and_the_pack_finds_nothing(tmp_path, end, consumer):
    recording = recorded(end, tmp_path, consumer)
    assert findings(recording) == set()
    assert recording.of(MAPPING)[0].inputs["enabled"] is (consumer == "lambda")
    assert recording.of(SERVICE)[0].inputs["desiredCount"] == (consumer == "ecs")


@pytest.mark.parametrize("consumer", ["lambda", "ecs"])
def test_in_a_switch_the_lock_comes_after_who_leaves_and_before_who_comes(tmp_path, consumer):
    recording = recorded("switch", tmp_path, consumer)
    (lock,), (mapping,), (service,) = (recording.of(kind) for kind in (LOCK, MAPPING, SERVICE))
    incoming, outgoing = (mapping, service) if consumer == "lambda" else (service, mapping)
    assert recording.reaches(incoming.urn, lock.urn)
    assert recording.reaches(lock.urn, outgoing.urn)
    assert lock.hooks == dict.fromkeys(("before_create", "before_update"), ("embed-ndjson-is-drained",))
    (closed,) = json.loads(lock.inputs["policy"])["Statement"]
    role = "embed-from-ndjson" if consumer == "lambda" else "worker"
    assert closed["Condition"]["ArnNotLike"]["aws:PrincipalArn"][0].endswith(f":{role}")


def test_who_turns_both_on_is_refused_by_the_program_in_words_of_their_own_stack(tmp_path):
    source = program("claim", tmp_path)
    source.write_text(source.read_text().replace('desired_count=int(consumer == "ecs")', "desired_count=1"))
    with pytest.raises(ClaimRefused) as refused:
        run_program({"receipts:embedConsumer": "lambda"}, program=source)
    assert refused.value.code == ClaimCode.ONE_CONSUMER
    assert "'embed-from-ndjson' (mapping enabled) and claimed by 'worker' (desired count 1)" in str(refused.value)
    assert "the setting embedConsumer decides which" in str(refused.value)
    assert "receipts" not in str(refused.value)


def test_the_page_tells_the_rights_that_an_audit_needs():
    (told,) = json.loads(BLOCKS["audit"])["Statement"]
    assert tuple(told["Action"]) == RIGHTS


@dataclass(frozen=True)
class Elsewhere:
    """An environment that has nothing of this repository but the wheel."""

    wheel: Path
    bin: Path

    def run(self, *words: str, directory: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        kept = {name: os.environ[name] for name in ("HOME", "PATH", "TMPDIR") if name in os.environ}
        return subprocess.run(
            [str(self.bin / words[0]), *words[1:]],
            cwd=directory,
            env={**kept, **variables},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    place = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(
        PROJECT / "one_consumer",
        place / "source",
        ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build"),
    )
    build = "from setuptools.build_meta import build_wheel; build_wheel('../wheels')"
    subprocess.run([sys.executable, "-c", build], cwd=place / "source", capture_output=True, check=True)
    (wheel,) = (place / "wheels").glob("*.whl")
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, place / "venv"], check=True)
    pins = PROJECT / "requirements" / "development.txt"
    install = [UV, "pip", "install", "--quiet", "--python", place / "venv" / "bin" / "python", "--constraint", pins]
    subprocess.run([*install, f"{wheel}[audit,pack,claim]"], check=True)
    return Elsewhere(wheel=wheel, bin=place / "venv" / "bin")


def test_the_wheel_holds_one_package(elsewhere):
    with zipfile.ZipFile(elsewhere.wheel) as wheel:
        names = {name.split("/")[0] for name in wheel.namelist()}
    assert names == {"one_consumer", f"one_consumer-{VERSION}.dist-info"}


def test_an_audit_from_the_wheel_finds_both_consumers_on_the_emulator(elsewhere, endpoint, tmp_path):
    account = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_ENDPOINT_URL": endpoint}
    with closing(emulator_clients(endpoint)) as clients:
        sqs, functions, pipes = clients("sqs"), clients("lambda"), clients("pipes")
        queue = create_queue(sqs, "embed-ndjson.fifo")
        arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("index.py", "def handle(event, context): pass")
        functions.create_function(
            FunctionName="embed",
            Runtime="python3.13",
            Role="arn:aws:iam::000000000000:role/embed",
            Handler="index.handle",
            Code={"ZipFile": packed.getvalue()},
        )
        functions.create_event_source_mapping(EventSourceArn=arn, FunctionName="embed", Enabled=True)
        words = ("one-consumer", "audit", "--queue", queue, "--region", REGION, "--sarif")
        alone = elsewhere.run(*words, directory=tmp_path, **account)
        assert (alone.returncode, json.loads(alone.stdout)["runs"][0]["results"]) == (0, []), alone.stderr
        pipes.create_pipe(Name="forward", Source=arn, Target=arn, RoleArn="arn:aws:iam::000000000000:role/forward")
        both = elsewhere.run(*words, directory=tmp_path, **account)
    (result,) = json.loads(both.stdout)["runs"][0]["results"]
    assert both.returncode == 1
    assert "mapping embed" in result["message"]["text"]
    assert "pipe forward" in result["message"]["text"]


DRIVER = '''
"""Runs the program of this folder on Pulumi's engine; with the installed pack, where its path is given."""

import json
import runpy
import sys

from pulumi import automation

cli, action, pack, settings = sys.argv[1:]
stack = automation.create_or_select_stack(
    "dev",
    project_name="shop",
    program=lambda: runpy.run_path("__main__.py", run_name="__main__"),
    opts=automation.LocalWorkspaceOptions(
        work_dir=".", pulumi_home="home", pulumi_command=automation.PulumiCommand(root=cli)
    ),
)
for key, value in json.loads(settings).items():
    stack.set_config(key, automation.ConfigValue(value))
events, failed = [], None
try:
    getattr(stack, action)(policy_packs=[pack] if pack else None, on_event=events.append, color="never")
except automation.CommandError as error:
    failed = str(error)
found = [event.policy_event for event in events if event.policy_event]
told = [(item.policy_name, item.enforcement_level) for item in found]
print(json.dumps({"policies": told, "failed": failed}))
'''


def run_engine(
    elsewhere: Elsewhere,
    attached: str,
    directory: Path,
    end: str,
    consumer: str,
    *,
    action: str = "preview",
    guarded: bool = True,
    **settings: str,
) -> dict[str, Any]:
    """Run a program of the page on the real engine, in a folder of its own; skips where there is no CLI."""
    cli = found_cli()
    if cli is None:
        pytest.skip("the Pulumi CLI is neither on the PATH nor in this project's cache")
    program(end, directory)
    (directory / "driver.py").write_text(DRIVER)
    (directory / "backend").mkdir(exist_ok=True)
    pack = elsewhere.run("one-consumer", "pack-path", directory=directory).stdout.strip()
    done = elsewhere.run(
        "python",
        "driver.py",
        str(Path(cli).parents[1]),
        action,
        pack if guarded else "",
        json.dumps({"aws:region": "us-east-1", "shop:embedConsumer": consumer, **settings}),
        directory=directory,
        PULUMI_BACKEND_URL=(directory / "backend").as_uri(),
        PULUMI_CONFIG_PASSPHRASE="",
        PULUMI_DEBUG_PROVIDERS=attached,
        PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION="true",
        PULUMI_SKIP_UPDATE_CHECK="true",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def attached() -> Iterator[str]:
    """A provider for the engine; its AWS does not exist."""
    with tempfile.TemporaryDirectory() as state:
        context = Context(
            endpoint="http://127.0.0.1:9",
            supervisor=SupervisorClient(Path(state), "http://127.0.0.1:9"),
            source=PROJECT,
            state_directory=Path(state),
        )
        with serve(build_registry(context), ("aws",)) as found:
            yield found


def test_the_engine_refuses_what_was_before(elsewhere, attached, tmp_path):
    told = run_engine(elsewhere, attached, tmp_path, "before", "lambda")
    # No ARN is known at the first preview, so that the worker consumes is not yet certain.
    assert ["one-consumer-unproven", "advisory"] in told["policies"]
    assert ["fifo-batching-window", "mandatory"] in told["policies"]
    assert told["failed"]


def test_the_engine_takes_what_is_after(elsewhere, attached, tmp_path):
    told = run_engine(elsewhere, attached, tmp_path, "switch", "ecs")
    assert told["failed"] is None
    assert [name for name, level in told["policies"] if level == "mandatory"] == []


@long_list
def test_the_engine_switches_the_pages_program_on_the_emulator(elsewhere, tmp_path):
    stack = LocalStack(tmp_path / "stack")
    make_private(stack.state_directory)
    stack._start()
    try:
        endpoint = stack.client_options()["endpoint_url"]
        reached = {
            "aws:accessKey": "x",
            "aws:secretKey": "y",
            "aws:endpoints": json.dumps([{"sqs": endpoint}]),
        }
        place = tmp_path / "shop"
        place.mkdir()

        def audited() -> list[tuple[str, str]]:
            # Not by the command: this emulator has no Application Auto Scaling, and an audit leaves nothing out.
            with ExitStack() as opened:
                clients = {name: opened.enter_context(client(stack, name)) for name in ASKED}
                observer = ConsumerObserver(clients.__getitem__, emulated=True, scheduled=True)
                (url,) = clients["sqs"].list_queues()["QueueUrls"]
                (found,) = audit(observer, [ExpectedQueue(label="q", url=url, consumer=None, optional=True)])
            assert (found.finding is not None) == (len(found.on) > 1)
            return [(item.kind, item.name) for item in found.on]

        with stack._registry() as registry, serve(registry, ("aws",)) as provider:

            def up(end: str, consumer: str, *, guarded: bool = True) -> dict[str, Any]:
                return run_engine(elsewhere, provider, place, end, consumer, action="up", guarded=guarded, **reached)

            assert up("before", "lambda", guarded=False)["failed"] is None
            assert audited() == [("mapping", "embed-from-ndjson"), ("service", "worker")]
            for consumer, on in (("ecs", ("service", "worker")), ("lambda", ("mapping", "embed-from-ndjson"))):
                told = up("switch", consumer)
                assert told["failed"] is None
                assert audited() == [on]
    finally:
        stack._supervisor.shut_down()
        stack._await_end()


def in_typescript(dump: Dump, *, count: int = 1, enabled: bool = True) -> None:
    """The page's program as a TypeScript program makes it: components around resources, ``interpolate``, camel case."""
    jobs = dump.add("aws:sqs/queue:Queue", "embed-ndjson", exists=True, fifoQueue=True, visibilityTimeoutSeconds=5400)
    function_role = styles.role(dump, "embed-from-ndjson", (styles.RECEIVE, jobs.arn))
    function = dump.add("aws:lambda/function:Function", "embed", role=function_role.arn, timeout=900)
    styles.mapping(dump, "direct-mapping", jobs, function.arn, enabled=enabled)
    component = dump.add("shop:index:ChromaCompactionWorker", "worker")
    task_role = styles.role(dump, "worker", (styles.RECEIVE, jobs.arn))
    container = styles.containers({"EMBED_NDJSON_QUEUE_URL": jobs.url})
    task = dump.add(
        "aws:ecs/taskDefinition:TaskDefinition",
        "worker",
        parent=component,
        family="worker",
        taskRoleArn=task_role.arn,
        containerDefinitions=Text(json.dumps, [container]),
    )
    dump.add("aws:ecs/service:Service", "worker", parent=component, desiredCount=count, taskDefinition=task.arn)


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (Moment.FIRST_PREVIEW, {Code.ONE_CONSUMER_UNPROVEN}),
        (Moment.EXISTING, {Code.ONE_CONSUMER}),
        (Moment.KNOWN, {Code.ONE_CONSUMER}),
    ],
)
def test_a_program_in_typescript_is_judged_like_one_in_python(moment, expected):
    dump = Dump()
    in_typescript(dump)
    assert {found.code for found in judged(dump.at(moment))} - {Code.VISIBILITY_BELOW_ADVISED} == expected
    offs: tuple[dict[str, Any], ...] = ({"count": 0}, {"enabled": False})
    for off in offs:
        mended = Dump()
        in_typescript(mended, **off)
        assert {found.code for found in judged(mended.at(moment))} == set()
