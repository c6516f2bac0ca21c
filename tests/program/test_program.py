"""Every combination of settings is evaluated and judged; a rule that slips here is refused by AWS, or worse."""

import importlib.util
import itertools
import json

import pytest

from compaction_handler.environment import MergeEnvironment, StreamProcessorEnvironment
from compaction_worker.environment import WaitingEnvironment, WorkerEnvironment
from embed_lambda.environment import EmbedLambdaEnvironment
from stack.limits import SECONDS_PER_DAY
from stack.naming import FUNCTION_NAME_LIMIT, QUEUE_NAME_LIMIT
from stack.queues import DEAD_LETTER_RETENTION_SECONDS
from stack.storage import DELTA_RETENTION_DAYS
from tests.program.engine import DIGEST_IMAGE, PROJECT, Recording, run_program
from upload_images.environment import ProcessOcrResultsEnvironment
from upload_images.pictures.component import TIMEOUT_SECONDS as PICTURE_SECONDS
from upload_images.pictures.environment import ReadPicturesEnvironment
from upload_images.pictures.limits import READING_SECONDS

FUNCTION, MAPPING = "aws:lambda/function:Function", "aws:lambda/eventSourceMapping:EventSourceMapping"
QUEUE, POLICY, ROLE = "aws:sqs/queue:Queue", "aws:iam/rolePolicy:RolePolicy", "aws:iam/role:Role"
SERVICE, TARGET, TASK = (
    "aws:ecs/service:Service",
    "aws:appautoscaling/target:Target",
    "aws:ecs/taskDefinition:TaskDefinition",
)
MODELS = {
    "upload_images.handler.process_ocr_results": ProcessOcrResultsEnvironment,
    "upload_images.pictures.handler.read_pictures": ReadPicturesEnvironment,
    "embed_lambda.handler.embed": EmbedLambdaEnvironment,
    "compaction_handler.stream_processor.process_stream": StreamProcessorEnvironment,
    "compaction_handler.handler.merge": MergeEnvironment,
    "compaction_worker.waiting.report": WaitingEnvironment,
}
WITHOUT_RESOURCE_LEVEL = {"ManageNetworkInterfaces", "LogInToTheRegistry", "LookForMappings", "PublishTheCount"}
ENDPOINT, GROUP = "aws:ec2/vpcEndpoint:VpcEndpoint", "aws:ec2/securityGroup:SecurityGroup"
LOCK = "aws:sqs/queuePolicy:QueuePolicy"
CONSUMERS, EMBEDDERS = ("lambda", "ecs", "hybrid", "none"), ("openai", "hashing")
COMBINATIONS = list(itertools.product(CONSUMERS, EMBEDDERS, (True, False)))


@pytest.fixture(scope="module", params=COMBINATIONS, ids=lambda item: "-".join(map(str, item)))
def evaluated(request: pytest.FixtureRequest) -> tuple[str, Recording]:
    consumer, embedder, given = request.param
    settings = {"embedConsumer": consumer, "embedder": embedder}
    if given:
        # Those with an image have a stage 0 as well.
        settings |= {"imageUri": DIGEST_IMAGE, "ocr": "tesseract"}
    return consumer, run_program(settings)


def _queue_of(recording: Recording, mapping_source: str):
    return next((queue for queue in recording.of(QUEUE) if mapping_source.endswith(":" + queue.inputs["name"])), None)


def receivers(recording: Recording) -> dict[str, str | None]:
    """Queue to the one role that its lock lets receive; None where the lock lets nobody."""
    found: dict[str, str | None] = {}
    for lock in recording.of(LOCK):
        statements = {item["Sid"]: item for item in json.loads(lock.inputs["policy"])["Statement"]}
        if lock.name.endswith("-tls-only"):
            continue
        closed = statements["OnlyTheConsumerReceives"]
        assert (closed["Effect"], closed["Principal"], closed["Action"]) == ("Deny", "*", "sqs:ReceiveMessage")
        assert closed["Resource"].rsplit(":", 1)[-1] == lock.inputs["queueUrl"].rsplit("/", 1)[-1]
        roles = closed.get("Condition", {}).get("ArnNotLike", {}).get("aws:PrincipalArn", [])
        queue = lock.inputs["queueUrl"].rsplit("/", 1)[-1].removeprefix("receipts-test-").removesuffix(".fifo")
        found[queue] = roles[0].rsplit("receipts-test-", 1)[-1] if roles else None
        assert len({role.removesuffix("/*").rsplit("receipts-test-", 1)[-1] for role in roles}) <= 1
    return found


def reads_pictures(recording: Recording) -> bool:
    return recording.outputs["ocr"] == "tesseract"


def test_each_embed_queue_has_its_one_consumer_and_no_other(evaluated: tuple[str, Recording]) -> None:
    consumer, recording = evaluated
    service, target = recording.of(SERVICE)[0].inputs, recording.of(TARGET)[0].inputs
    enabled = {
        mapping.name.rsplit("-maps-", 1)[-1]
        for mapping in recording.of(MAPPING)
        if mapping.name.startswith("embed-lambda-maps-") and mapping.inputs["enabled"] is not False
    }
    assert enabled == {"lambda": {"embed"}, "hybrid": {"embed", "embed-lambda"}}.get(consumer, set())
    worker = consumer in ("ecs", "hybrid")
    assert (service["desiredCount"] > 0) is worker
    assert (target["minCapacity"], target["maxCapacity"] > 0) == (0, worker)
    assert recording.of(SERVICE)[0].ignored == frozenset()
    container = json.loads(recording.of(TASK)[0].inputs["containerDefinitions"])[0]
    polled = next(item["value"] for item in container["environment"] if item["name"] == "EMBED_QUEUE_URL")
    assert polled.endswith("embed-ecs.fifo" if consumer == "hybrid" else "embed.fifo")


def test_a_queue_lets_exactly_its_consumer_receive(evaluated: tuple[str, Recording]) -> None:
    consumer, recording = evaluated
    expected = {
        "lambda": {"embed": "embed-lambda"},
        "ecs": {"embed": "worker-task"},
        "hybrid": {"embed": "embed-lambda", "embed-lambda": "embed-lambda", "embed-ecs": "worker-task"},
        "none": {"embed": None},
    }[consumer]
    rest = {
        "upload-ocr-results": "upload-process-ocr-results",
        "compaction-lines": "compaction-merge",
        "compaction-words": "compaction-merge",
    }
    pictures = {"upload-pictures": "upload-read-pictures"} if reads_pictures(recording) else {}
    assert receivers(recording) == {**expected, **rest, **pictures}


def test_the_winner_starts_after_the_lock_and_the_lock_after_all_that_turns_the_loser_off(
    evaluated: tuple[str, Recording],
) -> None:
    consumer, recording = evaluated
    mapping = recording.one(MAPPING, "embed-lambda-maps-embed").urn
    service, target = recording.of(SERVICE)[0].urn, recording.of(TARGET)[0].urn
    lock = recording.one(LOCK, "embed-lock").urn
    winners = {"lambda": {mapping}, "hybrid": {mapping}, "ecs": {service, target}, "none": set()}[consumer]
    for switch in (mapping, service, target):
        assert recording.reaches(switch, lock) is (switch in winners)
        assert recording.reaches(lock, switch) is (switch not in winners)


def test_the_lock_of_the_embed_queue_waits_until_the_loser_is_drained(evaluated: tuple[str, Recording]) -> None:
    _, recording = evaluated
    for lock in recording.of(LOCK):
        hook = ("receipts-test-embed.fifo-is-drained",)
        expected = {"before_create": hook, "before_update": hook} if lock.name == "embed-lock" else {}
        assert lock.hooks == expected
    assert "receipts-test-embed.fifo-is-drained" in recording.hooks


def test_the_queues_of_hybrid_are_emptied_before_they_are_deleted(evaluated: tuple[str, Recording]) -> None:
    consumer, recording = evaluated
    hooked = {queue.inputs["name"]: queue.hooks for queue in recording.of(QUEUE) if queue.hooks}
    names = ("receipts-test-embed-lambda.fifo", "receipts-test-embed-ecs.fifo") if consumer == "hybrid" else ()
    assert hooked == {name: {"before_delete": (f"{name}-is-emptied",)} for name in names}


def test_steady_state_is_waited_for_longer_than_a_task_may_take(evaluated: tuple[str, Recording]) -> None:
    _, recording = evaluated
    assert recording.of(SERVICE)[0].inputs["waitForSteadyState"] is True
    seconds = int(recording.of(SERVICE)[0].timeouts["update"].removesuffix("s"))
    assert seconds > 900 + 120


def test_a_switch_is_a_deployment_that_the_circuit_breaker_watches(evaluated: tuple[str, Recording]) -> None:
    _, recording = evaluated
    service = recording.of(SERVICE)[0].inputs
    assert service["forceNewDeployment"] is True
    # Rolled back, it would be told as a success, with another image at work than the stack's.
    assert service["deploymentCircuitBreaker"] == {"enable": True, "rollback": False}


def test_the_capacity_is_the_settings_and_the_cluster_has_it() -> None:
    for given, provider in (({}, "FARGATE"), ({"ecs": '{"capacity": "spot"}'}, "FARGATE_SPOT")):
        recording = run_program(given)
        service = recording.of(SERVICE)[0]
        strategies = [item["capacityProvider"] for item in service.inputs["capacityProviderStrategies"]]
        assert strategies == [provider]
        # ECS refuses the one beside the other.
        assert "launchType" not in service.inputs
        (cluster,) = recording.of("aws:ecs/clusterCapacityProviders:ClusterCapacityProviders")
        assert provider in cluster.inputs["capacityProviders"]
        assert recording.reaches(service.urn, cluster.urn)


def test_a_shell_in_a_task_is_a_setting_with_its_rights_and_a_writable_root() -> None:
    for allowed in (False, True):
        recording = run_program({"ecs": json.dumps({"allowExec": allowed})})
        (container,) = json.loads(recording.of(TASK)[0].inputs["containerDefinitions"])
        assert recording.of(SERVICE)[0].inputs["enableExecuteCommand"] is allowed
        assert container["readonlyRootFilesystem"] is not allowed
        assert ("linuxParameters" in container) is allowed
        rights = recording.one(POLICY, "worker-task-policy").inputs["policy"]
        assert ("ssmmessages:OpenDataChannel" in rights) is allowed


def test_the_workers_times_follow_from_its_longest_work() -> None:
    recording = run_program({"ecs": '{"jobSeconds": 90}', "lambda": '{"timeoutSeconds": 100}'})
    (container,) = json.loads(recording.of(TASK)[0].inputs["containerDefinitions"])
    assert container["stopTimeout"] == 90
    assert container["healthCheck"]["command"][-1].endswith("> 90)")
    queue = recording.one(QUEUE, "embed-queue").inputs["visibilityTimeoutSeconds"]
    variables = {item["name"]: item["value"] for item in container["environment"]}
    assert queue == int(variables["VISIBILITY_TIMEOUT_SECONDS"]) == 600
    assert recording.of(SERVICE)[0].timeouts["update"] == "780s"


def test_every_mapping_is_one_that_aws_takes_and_that_loses_no_message(evaluated: tuple[str, Recording]) -> None:
    _, recording = evaluated
    functions = {function.inputs["name"]: function.inputs for function in recording.of(FUNCTION)}
    for mapping in recording.of(MAPPING):
        inputs = mapping.inputs
        assert inputs["functionResponseTypes"] == ["ReportBatchItemFailures"]
        function = functions[inputs["functionName"].rsplit(":", 1)[1]]
        queue = _queue_of(recording, inputs["eventSourceArn"])
        if queue is None:
            assert inputs["bisectBatchOnFunctionError"] is True
            assert inputs["maximumRetryAttempts"] > 0
            assert not inputs["destinationConfig"]["onFailure"]["destinationArn"].endswith(".fifo")
            continue
        assert queue.inputs["visibilityTimeoutSeconds"] >= function["timeout"]
        assert 2 <= inputs["scalingConfig"]["maximumConcurrency"] <= 1000
        assert 1 <= inputs["batchSize"] <= 10
        assert "maximumBatchingWindowInSeconds" not in inputs


def test_a_dead_letter_queue_is_of_its_queues_kind_and_is_reached(evaluated: tuple[str, Recording]) -> None:
    _, recording = evaluated
    for queue in recording.of(QUEUE):
        assert queue.inputs["name"].endswith(".fifo") is queue.inputs.get("fifoQueue", False)
        assert queue.inputs["sqsManagedSseEnabled"] is True
        if "redrivePolicy" not in queue.inputs:
            continue
        redrive = json.loads(queue.inputs["redrivePolicy"])
        assert redrive["deadLetterTargetArn"].endswith(".fifo") is queue.inputs.get("fifoQueue", False)
        spent = queue.inputs["visibilityTimeoutSeconds"] * redrive["maxReceiveCount"]
        assert queue.inputs["messageRetentionSeconds"] > spent


def test_each_entry_point_gets_the_variables_it_reads_and_no_others(evaluated: tuple[str, Recording]) -> None:
    _, recording = evaluated
    assert len(recording.of(FUNCTION)) == len(MODELS) - (not reads_pictures(recording))
    for function in recording.of(FUNCTION):
        handler = function.inputs["imageConfig"]["commands"][0]
        MODELS[handler].from_variables(function.inputs["environment"]["variables"])
        assert "@sha256:" in function.inputs["imageUri"]
    container = json.loads(recording.of(TASK)[0].inputs["containerDefinitions"])[0]
    variables = {item["name"]: item["value"] for item in container["environment"]}
    WorkerEnvironment.from_variables(variables)
    assert variables.keys() - set(WorkerEnvironment.variable_names().values()) == {"AWS_REGION", "AWS_DEFAULT_REGION"}
    assert container["entryPoint"] == ["python", "-m", "compaction_worker"]
    assert importlib.util.find_spec("compaction_worker.__main__") is not None


def test_rights_name_their_resources(evaluated: tuple[str, Recording]) -> None:
    _, recording = evaluated
    for policy in recording.of(POLICY):
        for statement in json.loads(policy.inputs["policy"])["Statement"]:
            assert not any("*" in action for action in statement["Action"])
            if "*" in statement["Resource"] and statement["Effect"] == "Allow":
                assert statement["Sid"] in WITHOUT_RESOURCE_LEVEL


def test_names_tags_logs_and_parents_are_in_order(evaluated: tuple[str, Recording]) -> None:
    consumer, recording = evaluated
    for made in recording.made.values():
        limit = QUEUE_NAME_LIMIT if made.type == QUEUE else FUNCTION_NAME_LIMIT
        if made.type in (QUEUE, FUNCTION, ROLE):
            assert len(made.inputs["name"]) <= limit
            # The queue that changes hands says who consumes it (stack/queues.py).
            own = {"Consumer": consumer} if made.name == "embed-queue" else {}
            assert made.inputs["tags"] == {"Project": "receipts", "Stack": "test", **own}
        if made.type == "aws:cloudwatch/logGroup:LogGroup":
            assert made.inputs["retentionInDays"] == 30
        if made.type.startswith("aws:"):
            assert "receipts:" in made.parent


def test_an_unprotected_stack_can_be_destroyed_and_made_again_and_a_protected_one_keeps_what_it_holds() -> None:
    for protect in (False, True):
        recording = run_program({"protectData": str(protect).lower()})
        repository = recording.one("aws:ecr/repository:Repository", "image-repository").inputs
        assert repository["forceDelete"] is not protect
        secret = recording.one("aws:secretsmanager/secret:Secret", "storage-openai-api-key").inputs
        # A name would stay taken for the recovery window, and an embedder that comes back could not have its secret.
        assert "name" not in secret
        assert secret["namePrefix"] == "receipts-test-openai-api-key-"
        assert secret["recoveryWindowInDays"] == (30 if protect else 0)
        for bucket in recording.of("aws:s3/bucket:Bucket"):
            assert bucket.inputs["forceDestroy"] is not protect
            assert "bucket" not in bucket.inputs


def test_the_repository_forgets_old_builds_and_no_image_with_a_tag() -> None:
    lifecycle = run_program({}).one("aws:ecr/lifecyclePolicy:LifecyclePolicy", "image-lifecycle").inputs
    (rule,) = json.loads(lifecycle["policy"])["rules"]
    assert rule["selection"]["tagStatus"] == "untagged"
    assert rule["selection"]["countType"] == "imageCountMoreThan"
    assert rule["selection"]["countNumber"] >= 10
    # Amazon ECR API reference, PutLifecyclePolicy.
    assert 100 <= len(lifecycle["policy"]) <= 30_720


def test_nothing_starts_before_what_it_needs_and_nothing_loses_it_before_it_has_stopped(
    evaluated: tuple[str, Recording],
) -> None:
    # A dependent is made after and deleted before what it depends on, so one edge says both.
    _, recording = evaluated
    egress, ingress = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule", "aws:vpc/securityGroupIngressRule:"
    rules = [made for made in recording.made.values() if made.type == egress or made.type.startswith(ingress)]
    ways = [*recording.of("aws:ec2/routeTableAssociation:RouteTableAssociation"), *recording.of(ENDPOINT)]
    assert ways
    needs = {
        recording.of(SERVICE)[0].urn: [
            *(recording.one(POLICY, f"worker-{part}-policy") for part in ("task", "start")),
            *(rule for rule in rules if "-worker-" in rule.name),
            *ways,
            *recording.of("aws:efs/mountTarget:MountTarget"),
        ],
        recording.one(FUNCTION, "compaction-merge-function").urn: [
            recording.one(POLICY, "compaction-merge-policy"),
            recording.one(POLICY, "compaction-merge-interfaces"),
            *(rule for rule in rules if "-merge-" in rule.name),
            *ways,
            *recording.of("aws:efs/mountTarget:MountTarget"),
        ],
        # Lambda removes the interfaces after the function, by the role: it must outlive the group that they hold.
        recording.one(GROUP, "network-merge-group").urn: [
            recording.one(ROLE, "compaction-merge-role"),
            recording.one(POLICY, "compaction-merge-interfaces"),
        ],
        recording.one("aws:scheduler/schedule:Schedule", "compaction-tick-schedule").urn: [
            recording.one(POLICY, "compaction-tick-schedule-policy")
        ],
    }
    for later, earlier in needs.items():
        for made in earlier:
            assert recording.reaches(later, made.urn), (later, made.name)
    assert len([rule for rule in rules if "-worker-" in rule.name or "-merge-" in rule.name]) == len(rules)
    for function in recording.of(FUNCTION):
        role = function.inputs["role"].rsplit(":", 1)[-1]
        for policy in recording.of(POLICY):
            if policy.inputs["role"].removesuffix("-role-id") in role and "-consumes-" not in policy.name:
                assert recording.reaches(function.urn, policy.urn), (function.name, policy.name)
    for mapping in recording.of(MAPPING):
        rights = mapping.name.replace("-maps-", "-consumes-")
        if not mapping.name.endswith("-maps-stream"):
            assert recording.reaches(mapping.urn, recording.one(POLICY, rights).urn)


@pytest.mark.parametrize(("every", "minutes"), [(0, 1), (60, 1), (90, 2), (300, 5), (3_600, 5)])
def test_a_tick_that_failed_is_left_to_the_next_one(every: int, minutes: int) -> None:
    recording = run_program({"merge": json.dumps({"publishEverySeconds": every})})
    schedule = recording.one("aws:scheduler/schedule:Schedule", "compaction-tick-schedule").inputs
    assert schedule["scheduleExpression"] == f"rate({minutes} minute{'s' if minutes > 1 else ''})"
    # The scheduler's own tries are of handing a tick to Lambda, which by default runs a failed one twice more.
    assert schedule["target"]["retryPolicy"]["maximumRetryAttempts"] == 0
    tries = recording.one("aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig", "compaction-tick-tries")
    assert tries.inputs["functionName"] == "receipts-test-compaction-merge"
    assert tries.inputs["maximumRetryAttempts"] == 0
    assert tries.inputs["maximumEventAgeInSeconds"] == minutes * 60


def test_every_handler_exists(evaluated: tuple[str, Recording]) -> None:
    _, recording = evaluated
    for function in recording.of(FUNCTION):
        module, _ = function.inputs["imageConfig"]["commands"][0].rsplit(".", 1)
        assert (PROJECT / (module.replace(".", "/") + ".py")).exists()


def test_a_bucket_has_one_notification_for_all_its_queues(evaluated: tuple[str, Recording]) -> None:
    # A second one would take the first one's place, in silence.
    _, recording = evaluated
    (notification,) = recording.of("aws:s3/bucketNotification:BucketNotification")
    announced = {
        (queue["queueArn"].rsplit(":", 1)[-1], queue["filterPrefix"], queue.get("filterSuffix"))
        for queue in notification.inputs["queues"]
    }
    expected: set[tuple[str, str, str | None]] = {("receipts-test-upload-ocr-results", "ocr/", ".json")}
    locks = ["upload-ocr-results-lock"]
    if reads_pictures(recording):
        expected.add(("receipts-test-upload-pictures", "images/", None))
        locks.append("upload-pictures-lock")
    assert announced == expected
    for name in locks:
        # S3 tries its right to announce when it is told to.
        assert recording.reaches(notification.urn, recording.one(LOCK, name).urn)


def test_without_an_engine_there_is_no_stage_for_pictures(evaluated: tuple[str, Recording]) -> None:
    _, recording = evaluated
    named = [made.name for made in recording.made.values() if "picture" in made.name]
    assert bool(named) is reads_pictures(recording)
    outputs = ("picturesQueueUrl", "picturesDeadLetterQueueUrl", "pictureFunctionName")
    assert [name in recording.outputs for name in outputs] == [reads_pictures(recording)] * 3


def test_the_child_that_reads_is_killed_before_its_function_is() -> None:
    assert READING_SECONDS + 10 < PICTURE_SECONDS


def test_replaced_versions_are_gone_after_a_day_and_pointers_and_artifacts_after_thirty() -> None:
    recording = run_program({})
    rules = {
        made.name: {
            rule["filter"]["prefix"]: rule["noncurrentVersionExpiration"]["noncurrentDays"]
            for rule in made.inputs["rules"]
            if "noncurrentVersionExpiration" in rule
        }
        for made in recording.of("aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration")
    }
    assert rules == {
        "storage-artifacts-lifecycle": {"": 30},
        "storage-vectors-lifecycle": {"": 30, "lines/versions/": 1, "words/versions/": 1},
    }
    identifiers = [
        rule["id"]
        for made in recording.of("aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration")
        for rule in made.inputs["rules"]
        if made.name == "storage-vectors-lifecycle"
    ]
    assert len(set(identifiers)) == len(identifiers)


def test_the_table_calls_no_key_that_is_billed() -> None:
    assert "serverSideEncryption" not in run_program({}).one("aws:dynamodb/table:Table", "storage-table").inputs


def test_a_redriven_message_still_finds_its_delta() -> None:
    assert DELTA_RETENTION_DAYS * SECONDS_PER_DAY > 2 * DEAD_LETTER_RETENTION_SECONDS


def test_the_architecture_fits_on_a_page() -> None:
    assert len((PROJECT / "__main__.py").read_text().splitlines()) < 60
