"""Things that have a queue's name and are none, and services of one name in two clusters."""

import pulumi_aws as aws

from tests.policy.parts import RECEIVE, allow, mapping, role, scaling, service

orders = aws.sqs.Queue("orders", name="orders")
mapping("orders-mapping", orders.arn)
mapping(
    "clicks",
    "arn:aws:kinesis:us-east-1:000000000000:stream/orders",
    starting_position="LATEST",
    function_response_types=None,
)
texts = {
    "API": "https://api.example.com/orders",
    "QUEUE_DASHBOARD": "https://example.com/000000000000/orders",
    "LOOKALIKE": "https://sqs.us-east-1.amazonaws.com.example.com/000000000000/orders",
    "FILES": "s3://bucket/orders",
    "PATH_OF_QUEUE_FILES": "var/orders",
    "TABLE": "arn:aws:dynamodb:us-east-1:000000000000:table/orders",
    "TOPIC": "arn:aws:sns:us-east-1:000000000000:orders",
}
everything = role("everything", allow("sqs:*", "*"))
for name, held in (("inside", everything.arn), ("outside", "arn:aws:iam::000000000000:role/platform")):
    service(f"{name}-service", texts, task_role=held, command=["serve", *texts.values()], desired_count=1)

jobs = aws.sqs.Queue("jobs")
mapping("jobs-mapping", jobs.arn)
poller = role("poller", allow(RECEIVE, jobs.arn))
clusters = {color: aws.ecs.Cluster(color, name=color) for color in ("blue", "red")}
for color, cluster in (("blue", clusters["blue"].arn), ("red", clusters["red"].name), ("unnamed", None)):
    idle = service(color, task_role=poller.arn, name="worker", cluster=cluster, desired_count=0)
    resource = f"service/{color if cluster else 'default'}/worker"
    scaling(f"{color}-scaling", idle, minimum=0, maximum=0, resource=resource)
busy = service("green", name="worker", cluster="green", desired_count=1)
scaling("green-scaling", busy, minimum=1, maximum=4, resource="service/green/worker")
