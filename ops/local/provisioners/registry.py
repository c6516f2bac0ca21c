"""Which provisioner makes which type."""

from ops.local.provisioners import Registry, buckets, functions, queues, records, roles, services
from ops.local.provisioners.context import Context
from ops.local.provisioners.recorded import RECORDED_TYPES, Image, Recorded, invokes


def build_registry(context: Context) -> Registry:
    """The provisioners of one local stack."""
    return Registry(
        {
            **{kind: Recorded(kind) for kind in RECORDED_TYPES},
            "docker-build:index:Image": Image(context),
            "aws:s3/bucket:Bucket": buckets.Bucket(context),
            "aws:s3/bucketVersioning:BucketVersioning": buckets.BucketVersioning(context),
            "aws:s3/bucketNotification:BucketNotification": buckets.BucketNotification(context),
            "aws:sqs/queue:Queue": queues.Queue(context),
            "aws:sqs/queuePolicy:QueuePolicy": queues.QueuePolicy(context),
            "aws:dynamodb/table:Table": records.Table(context),
            "aws:secretsmanager/secret:Secret": records.Secret(context),
            "aws:iam/role:Role": roles.Role(context),
            "aws:iam/rolePolicy:RolePolicy": roles.RolePolicy(context),
            "aws:lambda/function:Function": functions.Function(context),
            "aws:lambda/eventSourceMapping:EventSourceMapping": functions.EventSourceMapping(context),
            "aws:ecs/cluster:Cluster": services.Cluster(context),
            "aws:ecs/taskDefinition:TaskDefinition": services.TaskDefinition(context),
            "aws:ecs/service:Service": services.Service(context),
            "aws:scheduler/schedule:Schedule": functions.Schedule(context),
        },
        invokes(),
    )
