"""Types that nothing at run time on one machine needs: kept in the state with outputs of the right form, and no more.

Network, because everything is on loopback. Scaling, because the emulator has none and the desired count is obeyed.
Alarms, because nobody is paged. Log groups, because logs are files. Lambda's settings of asynchronous retries, because
the supervisor calls the tick. Policies and settings of buckets and queues that the emulator does not enforce. The
registry and its image, because the code runs from the folder it lies in.
"""

import hashlib
from typing import Any

from ops.local.emulator import ACCOUNT, REGION
from ops.local.provisioners import Created, InPlace, Inputs
from ops.local.provisioners.context import Context, arn

RECORDED_TYPES = (
    "aws:appautoscaling/policy:Policy",
    "aws:appautoscaling/target:Target",
    "aws:budgets/budget:Budget",
    "aws:cloudwatch/dashboard:Dashboard",
    "aws:cloudwatch/logGroup:LogGroup",
    "aws:cloudwatch/metricAlarm:MetricAlarm",
    "aws:ec2/internetGateway:InternetGateway",
    "aws:ec2/routeTable:RouteTable",
    "aws:ec2/routeTableAssociation:RouteTableAssociation",
    "aws:ec2/securityGroup:SecurityGroup",
    "aws:ec2/subnet:Subnet",
    "aws:ec2/vpc:Vpc",
    "aws:ec2/vpcEndpoint:VpcEndpoint",
    "aws:ecr/lifecyclePolicy:LifecyclePolicy",
    "aws:ecr/repository:Repository",
    "aws:ecs/clusterCapacityProviders:ClusterCapacityProviders",
    "aws:efs/accessPoint:AccessPoint",
    "aws:efs/fileSystem:FileSystem",
    "aws:efs/fileSystemPolicy:FileSystemPolicy",
    "aws:efs/mountTarget:MountTarget",
    "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig",
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
    "aws:s3/bucketPolicy:BucketPolicy",
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
    "aws:sns/topic:Topic",
    "aws:sns/topicPolicy:TopicPolicy",
    "aws:sns/topicSubscription:TopicSubscription",
    "aws:sqs/redriveAllowPolicy:RedriveAllowPolicy",
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
)

ARN_FORMS = {
    "aws:cloudwatch/metricAlarm:MetricAlarm": ("cloudwatch", "alarm:{name}"),
    "aws:cloudwatch/logGroup:LogGroup": ("logs", "log-group:{name}"),
    "aws:efs/accessPoint:AccessPoint": ("elasticfilesystem", "access-point/{id}"),
    "aws:efs/fileSystem:FileSystem": ("elasticfilesystem", "file-system/{id}"),
    "aws:ecr/repository:Repository": ("ecr", "repository/{name}"),
    "aws:sns/topic:Topic": ("sns", "{name}"),
}
"""Type to service and resource part, for the ARNs that other resources are given."""


MORE_OUTPUTS = {
    "aws:ecr/repository:Repository": ("registryId", "repositoryUrl"),
    "aws:ec2/vpcEndpoint:VpcEndpoint": ("prefixListId",),
}
"""Type to outputs that other resources are given, beside its ARN and its name."""


class Recorded(InPlace):
    """One recorded type.

    Args:
        kind: its token.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self.computed = ("arn", "name", *MORE_OUTPUTS.get(kind, ()))

    def create(self, name: str, inputs: Inputs) -> Created:
        """An identifier that is the same each time, and an ARN."""
        short = self._kind.rsplit(":", 1)[-1].lower()
        identifier = f"{short}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
        physical = str(inputs.get("name") or name)
        service, resource = ARN_FORMS.get(self._kind, (self._kind.split(":")[1].split("/")[0], "{id}"))
        outputs: dict[str, Any] = {"arn": arn(service, resource.format(name=physical, id=identifier)), "name": physical}
        if self._kind == "aws:ecr/repository:Repository":
            outputs |= {"registryId": ACCOUNT, "repositoryUrl": f"{ACCOUNT}.registry.local/{physical}"}
        if self._kind == "aws:ec2/vpcEndpoint:VpcEndpoint":
            # Of an interface endpoint AWS leaves it empty.
            gateway = inputs.get("vpcEndpointType", "Gateway") == "Gateway"
            outputs["prefixListId"] = f"pl-{identifier.rsplit('-', 1)[1]}" if gateway else ""
        return identifier, outputs

    def update(self, identifier: str, old: Inputs, new: Inputs) -> dict[str, Any]:
        """Nothing but the state changes."""
        del identifier, old, new
        return {}


class Image(InPlace):
    """docker-build:index:Image: nothing is built; the digest is that of the runtime code."""

    computed = ("digest",)

    def __init__(self, context: Context) -> None:
        self._context = context

    def derived(self, inputs: Inputs) -> Inputs:
        """The code's digest."""
        del inputs
        return {"sourceRevision": self._context.source_revision}

    def create(self, name: str, inputs: Inputs) -> Created:
        """The digest as an image's."""
        del inputs
        return name, {"digest": f"sha256:{self._context.source_revision}"}


def invokes() -> dict[str, Any]:
    """The data sources that the program asks, answered for the emulator's account."""
    return {
        "aws:index/getCallerIdentity:getCallerIdentity": lambda _: {"accountId": ACCOUNT, "id": ACCOUNT},
        "aws:index/getRegion:getRegion": lambda _: {"name": REGION, "region": REGION, "id": REGION},
        "aws:ecr/getAuthorizationToken:getAuthorizationToken": lambda _: {"userName": "AWS", "password": "unused"},
    }
