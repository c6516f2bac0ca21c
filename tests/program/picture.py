"""``python -m tests.program.picture``: docs/architecture.svg, drawn from the program as the recording engine sees it.

Boxes are resources, arrows are notifications, mappings, the schedule, and what roles may write; of the worker also what
it receives and mounts. So what is drawn is what is deployed. ``make docs`` runs it; a test fails when the picture is
out of date. A box stands in the column that is as many steps from the first bucket as a receipt has to go.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from tests.program.engine import PROJECT, Made, Recording, run_program

PICTURE = PROJECT / "docs" / "architecture.svg"
PREFIX = "receipts-test-"
SCHEDULE = "aws:scheduler/schedule:Schedule"
BOXES: Mapping[str, tuple[str, str]] = {
    "aws:s3/bucket:Bucket": ("S3 bucket", "#e3f1df"),
    "aws:sqs/queue:Queue": ("SQS queue", "#fbe3ee"),
    "aws:lambda/function:Function": ("Lambda function", "#fdebd3"),
    "aws:ecs/service:Service": ("ECS service", "#fdebd3"),
    "aws:dynamodb/table:Table": ("DynamoDB table", "#dfeafb"),
    "aws:efs/fileSystem:FileSystem": ("EFS file system", "#e3f1df"),
    SCHEDULE: ("schedule", "#eeeeee"),
}
"""Type to its title and colour; whatever else the program makes is not drawn."""
WRITES = ("sqs:SendMessage", "s3:PutObject", "dynamodb:PutItem", "elasticfilesystem:ClientWrite")
COUNTS = "sqs:GetQueueAttributes"
"""Who may do nothing else with a queue counts what waits on it."""
FIRST = "artifacts"
WIDTH, HEIGHT, GAP, ROW, MARGIN = 126, 44, 34, 76, 20
LOW = 26
"""How far below its boxes the arrow of a way back runs."""


@dataclass(frozen=True, order=True)
class Arrow:
    """From one box to another; dashed when it is off."""

    start: str
    end: str
    is_on: bool = True


def scheduled(physical: str) -> str:
    """A schedule may have the name of the function that it calls."""
    return f"call {name_of(physical)}"


def name_of(physical: str) -> str:
    return physical.removeprefix(PREFIX).strip("-")


def boxes(recording: Recording) -> dict[str, str]:
    """Name to type. Dead letter queues stand with their queues, not for themselves."""
    found: dict[str, str] = {}
    for made in recording.made.values():
        if made.type in BOXES and "dead-letter" not in made.name and "failures" not in made.name:
            physical = made.inputs.get("name") or made.inputs.get("bucketPrefix") or "collections"
            found[scheduled(physical) if made.type == SCHEDULE else name_of(physical)] = made.type
    return found


def arrows(recording: Recording) -> list[Arrow]:
    """What leads where, by the program's own resources."""
    by_arn = {str(made.properties["arn"]): name_of(name) for made, name in named(recording)}
    (file_system,) = recording.of("aws:efs/fileSystem:FileSystem")
    by_arn[str(file_system.properties["arn"])] = "collections"
    (table,) = recording.of("aws:dynamodb/table:Table")
    found = {
        Arrow(by_arn[str(table.properties["arn"])], by_arn[mapping.inputs["functionName"]])
        if "/stream/" in mapping.inputs["eventSourceArn"]
        else Arrow(
            by_arn[mapping.inputs["eventSourceArn"]],
            by_arn[mapping.inputs["functionName"]],
            mapping.inputs.get("enabled", True),
        )
        for mapping in recording.of("aws:lambda/eventSourceMapping:EventSourceMapping")
    }
    for notification in recording.of("aws:s3/bucketNotification:BucketNotification"):
        found |= {Arrow(FIRST, by_arn[queue["queueArn"]]) for queue in notification.inputs["queues"]}
    for schedule in recording.of(SCHEDULE):
        found.add(Arrow(scheduled(schedule.inputs["name"]), by_arn[schedule.inputs["target"]["arn"]]))
    hosts = hosts_by_role(recording)
    (service,) = recording.of("aws:ecs/service:Service")
    for policy in recording.of("aws:iam/rolePolicy:RolePolicy"):
        host = hosts.get(policy.inputs["role"].removesuffix("-role-id"))
        if host is None:
            continue
        for statement in json.loads(policy.inputs["policy"])["Statement"]:
            reached = [by_arn[arn] for resource in statement["Resource"] if (arn := owner(resource, by_arn))]
            if set(statement["Action"]) & set(WRITES):
                found |= {Arrow(host, name) for name in reached}
            if "sqs:ReceiveMessage" in statement["Action"] and host == name_of(service.inputs["name"]):
                found |= {Arrow(name, host, service.inputs["desiredCount"] > 0) for name in reached}
            if set(statement["Action"]) == {COUNTS}:
                found |= {Arrow(name, host) for name in reached}
            if "elasticfilesystem:ClientMount" in statement["Action"] and host == name_of(service.inputs["name"]):
                found |= {Arrow(name, host) for name in reached}
    known = boxes(recording)
    return sorted(arrow for arrow in found if arrow.start in known and arrow.end in known)


def named(recording: Recording) -> Iterable[tuple[Made, str]]:
    for made in recording.made.values():
        name = made.inputs.get("name") or made.inputs.get("bucketPrefix")
        if made.type in BOXES and name:
            yield made, name


def owner(resource: str, by_arn: Mapping[str, str]) -> str | None:
    return next((arn for arn in by_arn if resource == arn or resource.startswith(f"{arn}/")), None)


def hosts_by_role(recording: Recording) -> dict[str, str]:
    """A role's resource, without ``-role``, to what runs with it."""
    names = {made.inputs["name"]: made.name for made in recording.of("aws:iam/role:Role")}
    users = {
        function.inputs["role"]: function.inputs["name"] for function in recording.of("aws:lambda/function:Function")
    }
    (task,), (service,) = recording.of("aws:ecs/taskDefinition:TaskDefinition"), recording.of("aws:ecs/service:Service")
    users[task.inputs["taskRoleArn"]] = service.inputs["name"]
    return {names[arn.rsplit(":", 1)[-1]].removesuffix("-role"): name_of(user) for arn, user in users.items()}


def columns(names: Iterable[str], leads: Sequence[Arrow]) -> dict[str, int]:
    """How many steps a receipt needs to a box; a box that nothing leads to stands before what it leads to."""
    steps, waiting = {FIRST: 0}, [FIRST]
    while waiting:
        name = waiting.pop(0)
        for arrow in leads:
            if arrow.start == name and arrow.end not in steps:
                steps[arrow.end] = steps[name] + 1
                waiting.append(arrow.end)
    for name in sorted(set(names) - steps.keys()):
        steps[name] = min(steps[arrow.end] for arrow in leads if arrow.start == name) - 1
    return steps


def drawn(kinds: Mapping[str, str], leads: Sequence[Arrow]) -> str:
    """The picture."""
    steps = columns(kinds, leads)
    rows: dict[str, int] = {}
    for column in range(max(steps.values()) + 1):
        found = sorted((kinds[name] == SCHEDULE, name) for name in steps if steps[name] == column)
        rows |= {name: row for row, (_, name) in enumerate(found)}
    depth = max(rows.values()) + 1
    places = {name: (MARGIN + steps[name] * (WIDTH + GAP), MARGIN + rows[name] * ROW) for name in steps}
    width = 2 * MARGIN + (max(steps.values()) + 1) * (WIDTH + GAP) - GAP
    height = 2 * MARGIN + depth * ROW + LOW
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        "<title>The stack as the program declares it: a receipt's way from left to right</title>",
        '<defs><marker id="to" viewBox="0 0 6 6" refX="6" refY="3" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 6 3 0 6z" fill="#555"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        *(line(places[arrow.start], places[arrow.end], arrow.is_on) for arrow in leads),
    ]
    for name, (left, top) in sorted(places.items()):
        title, colour = BOXES[kinds[name]]
        middle = left + WIDTH // 2
        lines += [
            f'<rect x="{left}" y="{top}" width="{WIDTH}" height="{HEIGHT}" rx="5" fill="{colour}" stroke="#555"/>',
            f'<text x="{middle}" y="{top + 17}" font-size="9" text-anchor="middle" fill="#555">{title}</text>',
            f'<text x="{middle}" y="{top + 33}" font-size="11" text-anchor="middle">{escape(shortened(name))}</text>',
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"


def shortened(name: str) -> str:
    """Without the component's name, which the place in the picture says."""
    return name.removeprefix("call ").removeprefix("compaction-").removeprefix("upload-").removesuffix(".fifo")


def line(start: tuple[int, int], end: tuple[int, int], is_on: bool) -> str:
    """An arrow: straight on to the right, or below the boxes and back."""
    (left, top), (to, down) = start, end
    dash = "" if is_on else ' stroke-dasharray="4 3"'
    if to > left:
        x, y, u, v = left + WIDTH, top + HEIGHT // 2, to, down + HEIGHT // 2
        bend = (u - x) // 2
        path = f"M{x} {y}C{x + bend} {y} {u - bend} {v} {u} {v}"
    else:
        x, y, u, v = left + WIDTH // 2, top + HEIGHT, to + WIDTH // 2, down + HEIGHT
        low = max(y, v) + LOW
        path = f"M{x} {y}C{x} {low} {u} {low} {u} {v}"
    return f'<path d="{path}" fill="none" stroke="#555"{dash} marker-end="url(#to)"/>'


def picture(consumer: str = "lambda") -> str:
    """The picture of a stack with this consumer; what is off is dashed."""
    recording = run_program({"embedConsumer": consumer})
    return drawn(boxes(recording), arrows(recording))


if __name__ == "__main__":
    PICTURE.write_text(picture())
