"""What looks like a second consumer and is none; each paragraph must stay free to be written."""

import pulumi
import pulumi_aws as aws

from tests.policy.parts import (
    RECEIVE,
    SEND,
    allow,
    document,
    mapping,
    role,
    scaling,
    scheduled,
    service,
    task,
    task_set,
)

# Two queues from one loop, one consumer each, a dead letter queue under both with a consumer of its own.
dead = aws.sqs.Queue("dead")
mapping("redriver", dead.arn, provisioned_poller_config={"minimum_pollers": 2})
queues = {}
for color in ("red", "green"):
    queues[color] = aws.sqs.Queue(
        color,
        redrive_policy=pulumi.Output.json_dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": 3}),
    )
    mapping(f"{color}-mapping", queues[color].arn, maximum_batching_window_in_seconds=5)

# Consumers beside it that are off: a mapping, a pipe, a service at 0 whose scaling stays at 0.
mapping("disabled", queues["red"].arn, enabled=False)
aws.pipes.Pipe(
    "stopped",
    role_arn="arn:aws:iam::000000000000:role/any",
    source=queues["red"].arn,
    target="arn:aws:events:us-east-1:000000000000:event-bus/any",
    desired_state="STOPPED",
)
idle_role = role("idle-role", allow(RECEIVE, queues["red"].arn))
idle = service("idle", {"QUEUE_URL": queues["red"].url}, task_role=idle_role.arn, desired_count=0)
scheduled("idle-by-night", scaling("idle-scaling", idle, minimum=0, maximum=0), min_capacity=0, max_capacity=0)
external = aws.ecs.Service("external", cluster="main", deployment_controller={"type": "EXTERNAL"}, desired_count=1)
task_set("idle-set", external.id, task("idle-set", task_role=idle_role.arn), 0)

# Scaling of a neighbour, or of a table of that name, is not scaling of the idle one.
neighbour = service("neighbour", desired_count=1)
scaling("neighbour-scaling", neighbour, minimum=1, maximum=4)
aws.appautoscaling.Target(
    "table-scaling",
    service_namespace="dynamodb",
    scalable_dimension="dynamodb:table:ReadCapacityUnits",
    resource_id="table/idle",
    min_capacity=1,
    max_capacity=4,
)

# A service that receives from every queue it is told of, and is told of its own only.
own = aws.sqs.Queue("own")
broad = role("broad-role", allow("sqs:*", "*"))
service("broad", {"QUEUE_URL": own.url}, task_role=broad.arn, desired_count=1)

# A queue that is only known by its ARN, with one consumer, and a text that is like it.
mapping("elsewhere", "arn:aws:sqs:eu-west-1:111111111111:green")
mapping("elsewhere-too", "arn:aws:sqs:eu-west-1:111111111111:green-2")

# Mappings of one stream are no consumers of a queue, and may report to a standard queue.
failures = aws.sqs.Queue("failures")
table = aws.dynamodb.Table("table", stream_enabled=True)
for name in ("reader", "second-reader"):
    mapping(
        name,
        table.stream_arn,
        starting_position="LATEST",
        function_response_types=None,
        destination_config={"on_failure": {"destination_arn": failures.arn}},
    )

# Roles that may send only, wherever it is written, or are kept from receiving.
sender = role("sender-role", allow([SEND, "sqs:GetQueueUrl"], queues["green"].arn))
producer_policy = aws.iam.Policy("send", policy=document(allow(SEND, queues["green"].arn)))
aws.iam.RolePolicyAttachment("send-attachment", role=sender.name, policy_arn=producer_policy.arn)
logs = "arn:aws:iam::aws:policy/CloudWatchLogsFullAccess"
aws.iam.RolePolicyAttachment("logs-attachment", role=sender.name, policy_arn=logs)
service("producer", {"QUEUE_URL": queues["green"].url}, task_role=sender.arn, desired_count=2)
kept = role("kept-role", allow("sqs:*", "*"), allow("sqs:Receive*", queues["green"].arn, effect="Deny"))
service("kept", {"QUEUE_URL": queues["green"].url}, task_role=kept.arn, desired_count=2)
spared = role("spared-role", {"Effect": "Allow", "Action": "sqs:*", "NotResource": [queues["green"].arn]})
service("spared", {"QUEUE_URL": queues["green"].url}, task_role=spared.arn, desired_count=2)
unable = role("unable-role", {"Effect": "Allow", "NotAction": ["sqs:Receive*"], "Resource": "*"})
service("unable", {"QUEUE_URL": queues["green"].url}, task_role=unable.arn, desired_count=2)

# Which of two queues a mapping takes may be computed; after the update it is known to be the free one.
north, south = aws.sqs.Queue("north"), aws.sqs.Queue("south")
mapping("north-mapping", north.arn)
mapping("chosen", pulumi.Output.all(north.arn, south.arn).apply(max))
