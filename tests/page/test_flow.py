"""The drawing of the flow.

A failure highlights the consumer that is off, or draws an arrow to a queue that nobody consumes.
"""

from dataclasses import replace

from ops.page.flow import BOX_HEIGHT, BOX_WIDTH, flow_of
from ops.watching.snapshot import QueueNow
from tests.watching.snapshots import PLAIN, snapshot


def states(flow) -> dict[str, str]:
    return {node.name: node.state for node in flow.nodes}


def test_the_consumer_that_is_on_is_highlighted_and_the_way_through_the_other_is_not():
    flow = flow_of(PLAIN)
    assert (states(flow)["lambda"], states(flow)["ecs"]) == ("on", "off")
    assert sum(arrow.state == "off" for arrow in flow.arrows) == 2
    assert "consumed by Lambda." in flow.description
    switched = flow_of(snapshot(hosts=tuple(replace(host, standing="off") for host in PLAIN.hosts)))
    assert sum(arrow.state == "off" for arrow in switched.arrows) == 4
    assert "consumed by nobody." in switched.description


def test_what_has_messages_is_busy_and_tells_how_many():
    flow = flow_of(PLAIN)
    embed = next(node for node in flow.nodes if node.name == "embed")
    assert (embed.state, embed.lines) == ("busy", ("12 waiting, 3 held",))
    assert states(flow)["words"] == "plain"
    assert "Waiting: embed 12." in flow.description


def test_with_two_embed_queues_each_leads_to_its_own_consumer():
    queues = (
        *(QueueNow(label=label, visible=0, in_flight=0) for label in ("OCR results", "embed-ecs", "embed-lambda")),
        *(queue for queue in PLAIN.queues if queue.label in ("lines", "words")),
    )
    hosts = tuple(replace(host, standing="on") for host in PLAIN.hosts)
    flow = flow_of(snapshot(chosen="hybrid", queues=queues, hosts=hosts))
    tops = {node.name: node.top for node in flow.nodes}
    assert tops["embed-lambda"] == tops["lambda"] < tops["embed-ecs"] == tops["ecs"]
    one = flow_of(PLAIN)
    # process to both queues, each to one host; with one queue: process to it, and it to both.
    assert len(flow.arrows) == len(one.arrows) + 1
    assert not [arrow for arrow in flow.arrows if arrow.state == "off"]


def test_a_queue_that_is_missing_is_drawn_as_off():
    queues = tuple(replace(queue, is_missing=queue.label == "lines") for queue in PLAIN.queues)
    assert states(flow_of(snapshot(queues=queues)))["lines"] == "off"


def test_stage_0_is_drawn_where_there_is_a_queue_of_pictures_and_is_no_embed_queue():
    queues = (QueueNow(label="pictures", visible=2, in_flight=0), *PLAIN.queues)
    flow = flow_of(snapshot(queues=queues))
    assert (states(flow)["pictures"], states(flow)["read"]) == ("busy", "plain")
    assert len(flow.arrows) == len(flow_of(PLAIN).arrows) + 2
    assert states(flow).keys() - states(flow_of(PLAIN)).keys() == {"pictures", "read"}
    apart(flow)


def test_no_two_boxes_overlap_and_all_are_inside_the_drawing():
    apart(flow_of(PLAIN))


def apart(flow) -> None:
    for node in flow.nodes:
        assert 0 <= node.left <= flow.width - BOX_WIDTH
        assert 0 <= node.top <= flow.height - BOX_HEIGHT
        for other in flow.nodes:
            is_beside = abs(node.left - other.left) >= BOX_WIDTH or abs(node.top - other.top) >= BOX_HEIGHT
            assert node is other or is_beside, (node.name, other.name)
