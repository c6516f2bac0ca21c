"""The calls around an update of the worker's service, on moto: scaling that goes on works against a switch."""

import pytest

from one_consumer.live.scaling import DIMENSION, KINDS, NAMESPACE, resume_scaling, suspend_scaling
from pipeline.aws import AwsClient
from tests.world import MOTO

NAME = "receipts-test-worker"
PLACE = {"ServiceNamespace": NAMESPACE, "ResourceId": f"service/{NAME}/{NAME}", "ScalableDimension": DIMENSION}


@pytest.fixture
def client(aws: None) -> AwsClient:
    ecs = MOTO("ecs")
    ecs.create_cluster(clusterName=NAME)
    ecs.register_task_definition(family=NAME, containerDefinitions=[{"name": "worker", "image": "image", "memory": 64}])
    ecs.create_service(cluster=NAME, serviceName=NAME, taskDefinition=NAME, desiredCount=0)
    return MOTO("application-autoscaling")


def register(client: AwsClient, maximum: int, *, suspended: bool) -> None:
    state = dict.fromkeys(KINDS, suspended)
    client.register_scalable_target(**PLACE, MinCapacity=0, MaxCapacity=maximum, SuspendedState=state)


def state(client: AwsClient) -> tuple[int, int, set[bool]]:
    (target,) = client.describe_scalable_targets(ServiceNamespace=NAMESPACE)["ScalableTargets"]
    return target["MinCapacity"], target["MaxCapacity"], set(target["SuspendedState"].values())


def test_all_scaling_is_suspended_and_its_range_kept(client) -> None:
    register(client, 4, suspended=False)
    assert suspend_scaling(client, NAME)
    assert state(client) == (0, 4, {True})


def test_what_is_suspended_already_is_left_alone(client) -> None:
    # Each registration moves the desired count into the range.
    register(client, 4, suspended=True)
    assert not suspend_scaling(client, NAME)


def test_a_service_that_was_never_scaled_is_turned_off_all_the_same(client) -> None:
    assert not suspend_scaling(client, NAME)
    assert not resume_scaling(client, NAME)


def test_scaling_that_an_update_left_suspended_works_again(client) -> None:
    register(client, 4, suspended=True)
    assert resume_scaling(client, NAME)
    assert state(client) == (0, 4, {False})
    assert not resume_scaling(client, NAME)


def test_a_range_of_nothing_is_not_registered_again_over_a_new_desired_count(client) -> None:
    register(client, 0, suspended=True)
    assert not resume_scaling(client, NAME)
    assert state(client) == (0, 0, {True})
