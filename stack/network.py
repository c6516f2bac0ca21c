"""A network that costs nothing while idle: public subnets closed to the inside, gateways to S3 and DynamoDB.

There is no NAT and no interface endpoint: the merge function, which has no way to the internet, asks SQS for nothing
(``compaction_handler/queue_requests.py``), and the worker's tasks have public addresses.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import pulumi

from stack import aws
from stack.limits import SUBNET_BITS
from stack.naming import physical_name, tags
from stack.permissions import Statement, account_id, document

NFS_PORT, HTTPS_PORT = 2049, 443


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    """The VPC's range and its zones, one subnet each."""

    cidr: str
    zones: tuple[str, ...]
    region: str


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where something of the stack runs in the network.

    Attributes:
        group: its security group.
        ready: routes, endpoints and rules that it needs from its start until it has stopped.
    """

    group: aws.ec2.SecurityGroup
    ready: Sequence[pulumi.Resource]


class Network(pulumi.ComponentResource):
    """VPC, subnets by zone, endpoints, and the security groups.

    Attributes:
        worker: where the worker's tasks run; the function in the network has its place by ``merge``.
    """

    subnets: Mapping[str, aws.ec2.Subnet]
    file_system_group: aws.ec2.SecurityGroup
    worker: Place

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("receipts:stack:Network", name, None, opts)
        self._name = name
        child = pulumi.ResourceOptions(parent=self)
        self._vpc = vpc = aws.ec2.Vpc(
            f"{name}-vpc",
            cidr_block=args.cidr,
            enable_dns_hostnames=True,
            enable_dns_support=True,
            tags=tags(),
            opts=child,
        )
        gateway = aws.ec2.InternetGateway(f"{name}-gateway", vpc_id=vpc.id, tags=tags(), opts=child)
        routes = aws.ec2.RouteTable(
            f"{name}-routes",
            vpc_id=vpc.id,
            routes=[aws.ec2.RouteTableRouteArgs(cidr_block="0.0.0.0/0", gateway_id=gateway.id)],
            tags=tags(),
            opts=child,
        )
        ranges = ipaddress.IPv4Network(args.cidr).subnets(prefixlen_diff=SUBNET_BITS)
        self.subnets = {}
        associations = []
        for zone, block in zip(args.zones, islice(ranges, len(args.zones)), strict=True):
            subnet = aws.ec2.Subnet(
                f"{name}-subnet-{zone}",
                vpc_id=vpc.id,
                availability_zone=zone,
                cidr_block=str(block),
                tags=tags(),
                opts=child,
            )
            associations.append(
                aws.ec2.RouteTableAssociation(
                    f"{name}-association-{zone}", subnet_id=subnet.id, route_table_id=routes.id, opts=child
                )
            )
            self.subnets[zone] = subnet
        self._gateways = {
            service: aws.ec2.VpcEndpoint(
                f"{name}-{service}",
                vpc_id=vpc.id,
                service_name=f"com.amazonaws.{args.region}.{service}",
                vpc_endpoint_type="Gateway",
                route_table_ids=[routes.id],
                policy=_own_alone(service, args.region),
                tags=tags(),
                opts=child,
            )
            for service in ("s3", "dynamodb")
        }
        self.file_system_group = self._group("file-system")
        self._ways: list[pulumi.Resource] = [*associations, *self._gateways.values()]
        group = self._group("worker")
        internet = aws.vpc.SecurityGroupEgressRule(
            f"{name}-worker-to-internet",
            security_group_id=group.id,
            cidr_ipv4="0.0.0.0/0",
            ip_protocol="tcp",
            from_port=HTTPS_PORT,
            to_port=HTTPS_PORT,
            tags=tags(),
            opts=child,
        )
        self.worker = self._place("worker", group, [internet])
        self.register_outputs({"worker_group": group.id})

    def merge(self, after: Sequence[pulumi.Resource]) -> Place:
        """The place of the one function in the network; asked for once.

        Args:
            after: what Lambda needs to remove the function's network interfaces. It removes them up to 20 minutes
                after the function, by the function's role (AWS Lambda developer guide, configuration-vpc), and the
                group is not deleted before they are gone: so these go after the group.
        """
        group = self._group("merge", after)
        rules = [
            aws.vpc.SecurityGroupEgressRule(
                f"{self._name}-merge-to-{service}",
                security_group_id=group.id,
                prefix_list_id=endpoint.prefix_list_id,
                ip_protocol="tcp",
                from_port=HTTPS_PORT,
                to_port=HTTPS_PORT,
                tags=tags(),
                opts=pulumi.ResourceOptions(parent=self),
            )
            for service, endpoint in self._gateways.items()
        ]
        return self._place("merge", group, rules)

    def _place(self, part: str, group: aws.ec2.SecurityGroup, rules: Sequence[pulumi.Resource]) -> Place:
        """The group with its way to the collections beside ``rules``."""
        return Place(
            group=group,
            ready=[
                *self._ways,
                *rules,
                *self._open(f"{part}-to-files", group, self.file_system_group, NFS_PORT),
            ],
        )

    def _group(self, part: str, after: Sequence[pulumi.Resource] = ()) -> aws.ec2.SecurityGroup:
        return aws.ec2.SecurityGroup(
            f"{self._name}-{part}-group",
            name=physical_name(part),
            description=f"Receipts: {part}; nothing may come in that no rule names.",
            vpc_id=self._vpc.id,
            tags=tags(),
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(after)),
        )

    def _open(
        self, part: str, source: aws.ec2.SecurityGroup, target: aws.ec2.SecurityGroup, port: int
    ) -> Sequence[pulumi.Resource]:
        child = pulumi.ResourceOptions(parent=self)
        out = aws.vpc.SecurityGroupEgressRule(
            f"{self._name}-{part}-out",
            security_group_id=source.id,
            referenced_security_group_id=target.id,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            tags=tags(),
            opts=child,
        )
        into = aws.vpc.SecurityGroupIngressRule(
            f"{self._name}-{part}-in",
            security_group_id=target.id,
            referenced_security_group_id=source.id,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            tags=tags(),
            opts=child,
        )
        return [out, into]


def _own_alone(service: str, region: str) -> pulumi.Output[str]:
    """An endpoint's policy: it leads to what the stack owns, and for S3 to the layers of images, and nowhere else.

    What a role may do there is in the role's policies. ECR keeps layers in a bucket of AWS's, and the worker's tasks
    get them through the gateway (Amazon ECR user guide, vpc-endpoints).
    """
    own = physical_name("")
    account = account_id()
    resources: Mapping[str, list[pulumi.Input[str]]] = {
        "s3": [f"arn:aws:s3:::{own}*", f"arn:aws:s3:::{own}*/*"],
        "dynamodb": [pulumi.Output.concat(f"arn:aws:dynamodb:{region}:", account, f":table/{own}*")],
    }
    statements: list[Statement] = [
        {
            "Sid": "WhatTheStackOwns",
            "Effect": "Allow",
            "Principal": "*",
            "Action": f"{service}:*",
            "Resource": resources[service],
        }
    ]
    if service == "s3":
        statements.append(
            {
                "Sid": "LayersOfImages",
                "Effect": "Allow",
                "Principal": "*",
                "Action": "s3:GetObject",
                "Resource": f"arn:aws:s3:::prod-{region}-starport-layer-bucket/*",
            }
        )
    return document(statements)
