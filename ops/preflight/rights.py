"""The rights of deployers, by resource type, and of operators, and the policies that grant them. Pure: it asks nothing.

From the provider's documents and AWS's service authorization reference, not tried in an account: docs/deploy.md says
how to find one that is missing.

Longer than most modules: it is a table of rights.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

NAMED: Mapping[str, str] = {
    "s3": "arn:aws:s3:::{name}*",
    "sqs": "arn:aws:sqs:{region}:{account}:{name}*",
    "dynamodb": "arn:aws:dynamodb:{region}:{account}:table/{name}*",
    "ecr": "arn:aws:ecr:{region}:{account}:repository/{name}*",
    "secretsmanager": "arn:aws:secretsmanager:{region}:{account}:secret:{name}*",
    "iam": "arn:aws:iam::{account}:role/{name}*",
    "scheduler": "arn:aws:scheduler:{region}:{account}:schedule/default/{name}*",
    "cloudwatch": "arn:aws:cloudwatch:{region}:{account}:alarm:{name}*",
    "sns": "arn:aws:sns:{region}:{account}:{name}*",
    "budgets": "arn:aws:budgets::{account}:budget/{name}*",
}
"""Service to the form of what the stack owns there; with any other service a right is for every resource."""
FORMS: Mapping[str, str] = {
    "dead letters": "arn:aws:sqs:{region}:{account}:{name}*-dead-letter*",
    "stream failures": "arn:aws:sqs:{region}:{account}:{name}*-stream-failures",
    "objects": "arn:aws:s3:::{name}*/*",
    "functions": "arn:aws:lambda:{region}:{account}:function:{name}*",
    "clusters": "arn:aws:ecs:{region}:{account}:cluster/{name}*",
    "services": "arn:aws:ecs:{region}:{account}:service/{name}*",
    "tasks": "arn:aws:ecs:{region}:{account}:task/{name}*",
    "function logs": "arn:aws:logs:{region}:{account}:log-group:/aws/lambda/{name}*",
    "dashboards": "arn:aws:cloudwatch::{account}:dashboard/{name}*",
    "task logs": "arn:aws:logs:{region}:{account}:log-group:/ecs/{name}*",
    "service roles": "arn:aws:iam::{account}:role/aws-service-role/*",
    "all": "*",
}
"""Other forms, by the word that a list of rights names them with."""


@dataclass(frozen=True, kw_only=True)
class Right:
    """An action and the form of its resource, with ``{name}``, ``{region}`` and ``{account}`` to fill in."""

    action: str
    resource: str


def _rights(*lists: str) -> tuple[Right, ...]:
    """Each list is ``service: Action Action``, or ``service (form): Action Action``."""
    found = []
    for item in lists:
        head, actions = item.split(": ", 1)
        service, _, form = head.partition(" (")
        resource = FORMS[form.removesuffix(")")] if form else NAMED.get(service, "*")
        found += [Right(action=f"{service}:{action}", resource=resource) for action in actions.split()]
    return tuple(found)


LOG_GROUP = "CreateLogGroup DeleteLogGroup PutRetentionPolicy DeleteRetentionPolicy ListTagsForResource TagResource"
BUCKET_READS = (
    "GetAccelerateConfiguration GetBucketAcl GetBucketCORS GetBucketLocation GetBucketLogging "
    "GetBucketObjectLockConfiguration GetBucketPolicy GetBucketRequestPayment GetBucketTagging GetBucketVersioning "
    "GetBucketWebsite GetEncryptionConfiguration GetLifecycleConfiguration GetReplicationConfiguration ListBucket"
)
RULES = (
    "AuthorizeSecurityGroupEgress AuthorizeSecurityGroupIngress CreateTags DescribeSecurityGroupRules "
    "ModifySecurityGroupRules RevokeSecurityGroupEgress RevokeSecurityGroupIngress"
)

BY_TYPE: Mapping[str, tuple[Right, ...]] = {
    "aws:appautoscaling/policy:Policy": _rights(
        "application-autoscaling: DeleteScalingPolicy DescribeScalingPolicies PutScalingPolicy"
    ),
    "aws:appautoscaling/target:Target": _rights(
        "application-autoscaling: DeregisterScalableTarget DescribeScalableTargets ListTagsForResource "
        "RegisterScalableTarget TagResource",
        "iam (service roles): CreateServiceLinkedRole",
    ),
    # These are no operations of the API: one right for every change, one for every look (AWS Cost Management guide).
    "aws:budgets/budget:Budget": _rights(
        "budgets: ListTagsForResource ModifyBudget TagResource UntagResource ViewBudget"
    ),
    "aws:cloudwatch/dashboard:Dashboard": _rights(
        "cloudwatch (dashboards): DeleteDashboards GetDashboard PutDashboard"
    ),
    "aws:cloudwatch/logGroup:LogGroup": _rights(
        "logs (all): DescribeLogGroups", f"logs (function logs): {LOG_GROUP}", f"logs (task logs): {LOG_GROUP}"
    ),
    "aws:cloudwatch/metricAlarm:MetricAlarm": _rights(
        "cloudwatch: DeleteAlarms DescribeAlarms ListTagsForResource PutMetricAlarm TagResource UntagResource"
    ),
    "aws:dynamodb/table:Table": _rights(
        "dynamodb: CreateTable DeleteTable DescribeContinuousBackups DescribeTable DescribeTimeToLive "
        "ListTagsOfResource TagResource UntagResource UpdateContinuousBackups UpdateTable UpdateTimeToLive"
    ),
    "aws:ec2/internetGateway:InternetGateway": _rights(
        "ec2: AttachInternetGateway CreateInternetGateway CreateTags DeleteInternetGateway DescribeInternetGateways "
        "DetachInternetGateway"
    ),
    "aws:ec2/routeTable:RouteTable": _rights(
        "ec2: CreateRoute CreateRouteTable CreateTags DeleteRoute DeleteRouteTable DescribeRouteTables ReplaceRoute"
    ),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": _rights(
        "ec2: AssociateRouteTable DescribeRouteTables DisassociateRouteTable"
    ),
    "aws:ec2/securityGroup:SecurityGroup": _rights(
        "ec2: CreateSecurityGroup CreateTags DeleteSecurityGroup DescribeNetworkInterfaces DescribeSecurityGroups "
        "RevokeSecurityGroupEgress"
    ),
    "aws:ec2/subnet:Subnet": _rights(
        "ec2: CreateSubnet CreateTags DeleteSubnet DescribeNetworkInterfaces DescribeSubnets ModifySubnetAttribute"
    ),
    "aws:ec2/vpc:Vpc": _rights(
        "ec2: CreateTags CreateVpc DeleteVpc DescribeNetworkAcls DescribeRouteTables DescribeSecurityGroups "
        "DescribeVpcAttribute DescribeVpcs ModifyVpcAttribute"
    ),
    "aws:ec2/vpcEndpoint:VpcEndpoint": _rights(
        "ec2: CreateTags CreateVpcEndpoint DeleteVpcEndpoints DescribePrefixLists DescribeVpcEndpoints "
        "DescribeVpcs ModifyVpcEndpoint",
    ),
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": _rights(
        "ecr: DeleteLifecyclePolicy GetLifecyclePolicy PutLifecyclePolicy"
    ),
    "aws:ecr/repository:Repository": _rights(
        "ecr: BatchDeleteImage CreateRepository DeleteRepository DescribeRepositories ListTagsForResource "
        "PutImageScanningConfiguration PutImageTagMutability TagResource UntagResource"
    ),
    "aws:ecs/cluster:Cluster": _rights(
        "ecs (clusters): DeleteCluster DescribeClusters ListTagsForResource TagResource UntagResource",
        "ecs (all): CreateCluster",
        "iam (service roles): CreateServiceLinkedRole",
    ),
    "aws:ecs/clusterCapacityProviders:ClusterCapacityProviders": _rights(
        "ecs (clusters): DescribeClusters PutClusterCapacityProviders"
    ),
    "aws:ecs/service:Service": _rights(
        "ecs (services): CreateService DeleteService DescribeServices ListTagsForResource TagResource UntagResource "
        "UpdateService",
        "ecs (all): DescribeServiceDeployments ListServiceDeployments",
    ),
    "aws:ecs/taskDefinition:TaskDefinition": _rights(
        "ecs (all): DeregisterTaskDefinition DescribeTaskDefinition RegisterTaskDefinition TagResource", "iam: PassRole"
    ),
    "aws:efs/accessPoint:AccessPoint": _rights(
        "elasticfilesystem: CreateAccessPoint DeleteAccessPoint DescribeAccessPoints ListTagsForResource TagResource"
    ),
    "aws:efs/fileSystem:FileSystem": _rights(
        "elasticfilesystem: CreateFileSystem DeleteFileSystem DescribeFileSystems DescribeLifecycleConfiguration "
        "ListTagsForResource TagResource UpdateFileSystem",
        "iam (service roles): CreateServiceLinkedRole",
    ),
    "aws:efs/fileSystemPolicy:FileSystemPolicy": _rights(
        "elasticfilesystem: DeleteFileSystemPolicy DescribeFileSystemPolicy PutFileSystemPolicy"
    ),
    "aws:efs/mountTarget:MountTarget": _rights(
        "elasticfilesystem: CreateMountTarget DeleteMountTarget DescribeMountTargetSecurityGroups "
        "DescribeMountTargets ModifyMountTargetSecurityGroups",
        "ec2: CreateNetworkInterface DeleteNetworkInterface DescribeNetworkInterfaceAttribute "
        "DescribeNetworkInterfaces DescribeSubnets ModifyNetworkInterfaceAttribute",
    ),
    "aws:iam/role:Role": _rights(
        "iam: CreateRole DeleteRole GetRole ListAttachedRolePolicies ListInstanceProfilesForRole ListRolePolicies "
        "TagRole UntagRole UpdateAssumeRolePolicy UpdateRole"
    ),
    "aws:iam/rolePolicy:RolePolicy": _rights("iam: DeleteRolePolicy GetRolePolicy PutRolePolicy"),
    "aws:lambda/eventSourceMapping:EventSourceMapping": _rights(
        "lambda (all): CreateEventSourceMapping DeleteEventSourceMapping GetEventSourceMapping ListTags TagResource "
        "UntagResource UpdateEventSourceMapping"
    ),
    "aws:lambda/function:Function": _rights(
        "lambda (functions): CreateFunction DeleteFunction GetFunction GetFunctionCodeSigningConfig "
        "GetFunctionConfiguration ListVersionsByFunction UpdateFunctionCode UpdateFunctionConfiguration",
        "iam: PassRole",
        # Lambda looks at the network, and reads the image, as its caller.
        "ec2: DescribeSecurityGroups DescribeSubnets DescribeVpcs",
        "ecr: BatchGetImage GetDownloadUrlForLayer GetRepositoryPolicy SetRepositoryPolicy",
    ),
    "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig": _rights(
        "lambda (functions): DeleteFunctionEventInvokeConfig GetFunctionEventInvokeConfig "
        "PutFunctionEventInvokeConfig UpdateFunctionEventInvokeConfig"
    ),
    "aws:s3/bucket:Bucket": _rights(
        f"s3: CreateBucket DeleteBucket ListBucketVersions PutBucketTagging {BUCKET_READS}",
        "s3 (objects): DeleteObject DeleteObjectVersion",
    ),
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": _rights(
        "s3: GetLifecycleConfiguration PutLifecycleConfiguration"
    ),
    "aws:s3/bucketNotification:BucketNotification": _rights("s3: GetBucketNotification PutBucketNotification"),
    "aws:s3/bucketPolicy:BucketPolicy": _rights("s3: DeleteBucketPolicy GetBucketPolicy PutBucketPolicy"),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": _rights(
        "s3: GetBucketPublicAccessBlock PutBucketPublicAccessBlock"
    ),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": _rights(
        "s3: GetEncryptionConfiguration PutEncryptionConfiguration"
    ),
    "aws:s3/bucketVersioning:BucketVersioning": _rights("s3: GetBucketVersioning PutBucketVersioning"),
    "aws:scheduler/schedule:Schedule": _rights(
        "scheduler: CreateSchedule DeleteSchedule GetSchedule UpdateSchedule", "iam: PassRole"
    ),
    "aws:secretsmanager/secret:Secret": _rights(
        "secretsmanager: CreateSecret DeleteSecret DescribeSecret GetResourcePolicy TagResource UntagResource "
        "UpdateSecret"
    ),
    "aws:sns/topic:Topic": _rights(
        "sns: CreateTopic DeleteTopic GetTopicAttributes ListTagsForResource SetTopicAttributes TagResource "
        "UntagResource"
    ),
    "aws:sns/topicPolicy:TopicPolicy": _rights("sns: GetTopicAttributes SetTopicAttributes"),
    "aws:sns/topicSubscription:TopicSubscription": _rights(
        "sns: Subscribe", "sns (all): GetSubscriptionAttributes SetSubscriptionAttributes Unsubscribe"
    ),
    "aws:sqs/queue:Queue": _rights(
        "sqs: CreateQueue DeleteQueue GetQueueAttributes GetQueueUrl ListQueueTags SetQueueAttributes TagQueue "
        "UntagQueue"
    ),
    "aws:sqs/queuePolicy:QueuePolicy": _rights("sqs: GetQueueAttributes SetQueueAttributes"),
    "aws:sqs/redriveAllowPolicy:RedriveAllowPolicy": _rights("sqs: GetQueueAttributes SetQueueAttributes"),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": _rights(f"ec2: {RULES}"),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": _rights(f"ec2: {RULES}"),
    "docker-build:index:Image": _rights(
        "ecr (all): GetAuthorizationToken",
        "ecr: BatchCheckLayerAvailability BatchGetImage CompleteLayerUpload GetDownloadUrlForLayer InitiateLayerUpload "
        "PutImage UploadLayerPart",
    ),
}
"""What making, changing, refreshing and deleting a resource of each type takes; every type of the program is here."""

HOOKS = _rights(
    # The handover looks at every consumer of a queue, also those made elsewhere, and empties a queue of `hybrid`.
    "sqs: DeleteMessage GetQueueAttributes GetQueueUrl ReceiveMessage SendMessage",
    "lambda (all): GetFunctionConfiguration ListEventSourceMappings",
    "ecs (all): DescribeServices DescribeTaskDefinition DescribeTasks ListClusters ListServices ListTasks",
    # The scaling of a service that is turned off is suspended first.
    "application-autoscaling: DescribeScalableTargets RegisterScalableTarget",
    "pipes: ListPipes",
    "iam (all): SimulatePrincipalPolicy",
)
"""Of the hooks of a switch, which run with the deployer's credentials."""
PREFLIGHT = _rights(
    "ec2: DescribeAvailabilityZones DescribeVpcs",
    "lambda (all): GetAccountSettings",
    "servicequotas: GetAWSDefaultServiceQuota GetServiceQuota",
    "iam (all): GetRole SimulatePrincipalPolicy",
)
"""Of ``receipts preflight`` itself; a right that is missing leaves a question open."""
OPERATOR = _rights(
    "s3: ListBucket",
    "s3 (objects): DeleteObject GetObject PutObject",
    "dynamodb: GetItem PutItem Query Scan UpdateItem",
    # A dead letter is received to be shown and given back, or sent to its queue again, or discarded.
    "sqs: GetQueueAttributes SendMessage",
    "sqs (dead letters): ChangeMessageVisibility DeleteMessage ReceiveMessage",
    "sqs (stream failures): ChangeMessageVisibility DeleteMessage ReceiveMessage",
    "lambda (functions): InvokeFunction",
    "lambda (all): GetEventSourceMapping GetFunctionConfiguration ListEventSourceMappings",
    "ecs (all): DescribeServices DescribeTaskDefinition DescribeTasks ListClusters ListServices ListTasks",
    "application-autoscaling: DescribeScalableTargets",
    "pipes: ListPipes",
    "events (all): ListEventBuses ListRules ListTargetsByRule",
    "scheduler (all): GetSchedule ListSchedules",
    "iam (all): SimulatePrincipalPolicy",
    # Ages and invocations, for `receipts watch`, which goes on without them.
    "cloudwatch (all): GetMetricData",
    # The embedder's key, for a search; the hosts' logs, for a switch.
    "secretsmanager: GetSecretValue",
    "logs (function logs): FilterLogEvents",
    "logs (task logs): FilterLogEvents",
)
"""Of the commands that look and act on a stack; a switch takes the deployer's as well."""


def deployer_rights() -> tuple[Right, ...]:
    """Every right of who deploys, once, in order."""
    found = {right for rights in (*BY_TYPE.values(), HOOKS, PREFLIGHT) for right in rights}
    return tuple(sorted(found, key=lambda right: (right.resource, right.action)))


def by_resource(rights: tuple[Right, ...], *, name: str, region: str, account: str) -> Iterator[tuple[str, list[str]]]:
    """Resources, filled in, with the actions on each.

    Args:
        rights: to be grouped.
        name: what the stack's physical names begin with.
        region: of the stack.
        account: its number.
    """
    forms = dict.fromkeys(right.resource for right in rights)
    for form in forms:
        actions = [right.action for right in rights if right.resource == form]
        yield form.format(name=name, region=region, account=account), actions


def policy_document(rights: tuple[Right, ...], *, name: str, region: str, account: str) -> dict[str, Any]:
    """An identity policy; see ``by_resource`` for the arguments."""
    statements: list[dict[str, Any]] = []
    for resource, actions in by_resource(rights, name=name, region=region, account=account):
        statements.append(
            {"Effect": "Allow", "Action": [item for item in actions if item != "iam:PassRole"], "Resource": resource}
        )
        if "iam:PassRole" in actions:
            services = [f"{service}.amazonaws.com" for service in ("lambda", "ecs-tasks", "scheduler")]
            condition = {"StringEquals": {"iam:PassedToService": services}}
            statements.append(
                {"Effect": "Allow", "Action": ["iam:PassRole"], "Resource": resource, "Condition": condition}
            )
    return {"Version": "2012-10-17", "Statement": statements}
