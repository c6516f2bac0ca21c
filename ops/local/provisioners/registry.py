"""Which provisioner makes which type."""

from ops.local.provisioners import Registry, compute, data
from ops.local.provisioners.context import Context
from ops.local.provisioners.recorded import RECORDED_TYPES, Image, Recorded, invokes


def build_registry(context: Context) -> Registry:
    """The provisioners of one local stack."""
    return Registry(
        {
            **{kind: Recorded(kind) for kind in RECORDED_TYPES},
            "docker-build:index:Image": Image(context),
            "aws:s3/bucket:Bucket": data.Bucket(context),
            "aws:s3/bucketVersioning:BucketVersioning": data.BucketVersioning(context),
            "aws:s3/bucketNotification:BucketNotification": data.BucketNotification(context),
            "aws:sqs/queue:Queue": data.Queue(context),
            "aws:sqs/queuePolicy:QueuePolicy": data.QueuePolicy(context),
            "aws:dynamodb/table:Table": data.Table(context),
            "aws:secretsmanager/secret:Secret": data.Secret(context),
            "aws:iam/role:Role": data.Role(context),
            "aws:iam/rolePolicy:RolePolicy": data.RolePolicy(context),
            "aws:lambda/function:Function": compute.Function(context),
            "aws:lambda/eventSourceMapping:EventSourceMapping": compute.EventSourceMapping(context),
            "aws:ecs/cluster:Cluster": compute.Cluster(context),
            "aws:ecs/taskDefinition:TaskDefinition": compute.TaskDefinition(context),
            "aws:ecs/service:Service": compute.Service(context),
            "aws:scheduler/schedule:Schedule": compute.Schedule(context),
        },
        invokes(),
    )
