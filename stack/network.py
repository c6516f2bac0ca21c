"""A network without NAT: public subnets closed to the inside, free gateways to S3 and DynamoDB, one address of SQS."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

import pulumi

from stack import aws
from stack.naming import physical_name, tags
from stack.settings import SUBNET_BITS

NFS_PORT, HTTPS_PORT = 2049, 443


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    """The VPC's range and its zones, one subnet each."""

    cidr: str
    zones: tuple[str, ...]
    region: str


class Network(pulumi.ComponentResource):
    """VPC, subnets by zone, and the three security groups: worker, merge, file system."""

    subnets: Mapping[str, aws.ec2.Subnet]
    worker_group: aws.ec2.SecurityGroup
    merge_group: aws.ec2.SecurityGroup
    file_system_group: aws.ec2.SecurityGroup

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("receipts:stack:Network", name, None, opts)
        self._name = name
        child = pulumi.ResourceOptions(parent=self)
        vpc = aws.ec2.Vpc(
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
        for zone, block in zip(args.zones, islice(ranges, len(args.zones)), strict=True):
            subnet = aws.ec2.Subnet(
                f"{name}-subnet-{zone}",
                vpc_id=vpc.id,
                availability_zone=zone,
                cidr_block=str(block),
                tags=tags(),
                opts=child,
            )
            aws.ec2.RouteTableAssociation(
                f"{name}-association-{zone}", subnet_id=subnet.id, route_table_id=routes.id, opts=child
            )
            self.subnets[zone] = subnet
        gateways = {
            service: aws.ec2.VpcEndpoint(
                f"{name}-{service}",
                vpc_id=vpc.id,
                service_name=f"com.amazonaws.{args.region}.{service}",
                vpc_endpoint_type="Gateway",
                route_table_ids=[routes.id],
                tags=tags(),
                opts=child,
            )
            for service in ("s3", "dynamodb")
        }
        self.worker_group = self._group("worker", vpc)
        self.merge_group = self._group("merge", vpc)
        self.file_system_group = self._group("file-system", vpc)
        sqs_group = self._group("sqs", vpc)
        # The merge function parks what it cannot merge, and has no way to the internet. One zone is enough: while
        # it is away, what would be parked is delivered again.
        aws.ec2.VpcEndpoint(
            f"{name}-sqs",
            vpc_id=vpc.id,
            service_name=f"com.amazonaws.{args.region}.sqs",
            vpc_endpoint_type="Interface",
            private_dns_enabled=True,
            subnet_ids=[self.subnets[args.zones[0]].id],
            security_group_ids=[sqs_group.id],
            tags=tags(),
            opts=child,
        )
        for part, group in (("worker", self.worker_group), ("merge", self.merge_group)):
            self._open(f"{part}-to-files", group, self.file_system_group, NFS_PORT)
            self._open(f"{part}-to-sqs", group, sqs_group, HTTPS_PORT)
        for service, endpoint in gateways.items():
            aws.vpc.SecurityGroupEgressRule(
                f"{name}-merge-to-{service}",
                security_group_id=self.merge_group.id,
                prefix_list_id=endpoint.prefix_list_id,
                ip_protocol="tcp",
                from_port=HTTPS_PORT,
                to_port=HTTPS_PORT,
                tags=tags(),
                opts=child,
            )
        aws.vpc.SecurityGroupEgressRule(
            f"{name}-worker-to-internet",
            security_group_id=self.worker_group.id,
            cidr_ipv4="0.0.0.0/0",
            ip_protocol="tcp",
            from_port=HTTPS_PORT,
            to_port=HTTPS_PORT,
            tags=tags(),
            opts=child,
        )
        self.register_outputs({"worker_group": self.worker_group.id, "merge_group": self.merge_group.id})

    def _group(self, part: str, vpc: aws.ec2.Vpc) -> aws.ec2.SecurityGroup:
        return aws.ec2.SecurityGroup(
            f"{self._name}-{part}-group",
            name=physical_name(part),
            description=f"Receipts: {part}; nothing may come in that no rule names.",
            vpc_id=vpc.id,
            tags=tags(),
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _open(self, part: str, source: aws.ec2.SecurityGroup, target: aws.ec2.SecurityGroup, port: int) -> None:
        child = pulumi.ResourceOptions(parent=self)
        aws.vpc.SecurityGroupEgressRule(
            f"{self._name}-{part}-out",
            security_group_id=source.id,
            referenced_security_group_id=target.id,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            tags=tags(),
            opts=child,
        )
        aws.vpc.SecurityGroupIngressRule(
            f"{self._name}-{part}-in",
            security_group_id=target.id,
            referenced_security_group_id=source.id,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            tags=tags(),
            opts=child,
        )
