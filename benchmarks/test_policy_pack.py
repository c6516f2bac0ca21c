"""The benchmark's stack is one: what it measures must be a good stack of distinct resources, or it measures nothing."""

from benchmarks.policy_pack import stack_of
from one_consumer.pack.consumers.mappings import MAPPING
from one_consumer.pack.server import Pack


def test_a_stack_of_copies_has_distinct_resources_and_breaks_no_rule() -> None:
    stack = stack_of(500)
    assert len({item.urn for item in stack.resources}) == 500
    sources = [
        item.properties["eventSourceArn"]
        for item in stack.resources
        if item.type == MAPPING and ":sqs:" in str(item.properties["eventSourceArn"])
    ]
    assert len(set(sources)) == len(sources) > 4
    assert list(Pack().AnalyzeStack(stack, None).diagnostics) == []


def test_a_conflict_in_it_is_found() -> None:
    stack = stack_of(500)
    second = next(
        item for item in stack.resources if item.type == MAPPING and ":sqs:" in str(item.properties["eventSourceArn"])
    )
    copy = stack.resources.add()
    copy.CopyFrom(second)
    copy.urn += "-again"
    assert [item.policyName for item in Pack().AnalyzeStack(stack, None).diagnostics] == ["one-consumer"]
