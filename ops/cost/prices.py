"""List prices of us-east-1 in US dollars, each with the page it was read on: constants alone.

No free tier and no discount is in them. The providers' own price pages show their numbers only after a script has run,
so most were read where somebody repeats them with a date; ``stated_by`` says where, and ``is_verified`` is False where
no page with the number was found. Before a decision of money, look at the provider's page.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

REGION = "us-east-1"
LOOKED_UP = date(2026, 11, 28)
HOURS_A_MONTH = 730
SECONDS_A_MONTH = HOURS_A_MONTH * 3_600


@dataclass(frozen=True, kw_only=True)
class Price:
    """One price.

    Attributes:
        dollars: of one ``unit``.
        page: the provider's own page of it.
        stated_by: where the number was read, with that page's date.
        is_verified: whether a page with the number was read.
    """

    dollars: float
    unit: str
    page: str
    stated_by: str
    is_verified: bool = True


PRICES: Mapping[str, Price] = {
    "function compute": Price(
        dollars=0.0000166667,
        unit="GB-second",
        page="aws.amazon.com/lambda/pricing",
        stated_by="cloudchipr.com/blog/aws-lambda-pricing, 2024; AWS whitepaper How AWS Pricing Works: 0.00001667",
    ),
    "function call": Price(
        dollars=0.20e-6,
        unit="invocation",
        page="aws.amazon.com/lambda/pricing",
        stated_by="AWS whitepaper How AWS Pricing Works, Lambda",
    ),
    "function disk": Price(
        dollars=0.0000000309,
        unit="GB-second above 512 MB",
        page="aws.amazon.com/lambda/pricing",
        stated_by="from memory; the page has it behind a script",
        is_verified=False,
    ),
    "task processor": Price(
        dollars=0.04048,
        unit="vCPU-hour",
        page="aws.amazon.com/fargate/pricing",
        stated_by="wring.co/blog/aws-fargate-pricing-guide, March 2026",
    ),
    "task memory": Price(
        dollars=0.004445,
        unit="GB-hour",
        page="aws.amazon.com/fargate/pricing",
        stated_by="wring.co/blog/aws-fargate-pricing-guide, March 2026",
    ),
    "public address": Price(
        dollars=0.005,
        unit="hour",
        page="aws.amazon.com/vpc/pricing",
        stated_by="vishalvyas.com, since February 2024",
    ),
    "interface endpoint": Price(
        dollars=0.01,
        unit="hour and zone",
        page="aws.amazon.com/privatelink/pricing",
        stated_by="awsnegotiations.com/privatelink-cost-analysis, May 2026",
    ),
    "NAT gateway": Price(
        dollars=0.045,
        unit="hour",
        page="aws.amazon.com/vpc/pricing",
        stated_by="from memory; the program has none",
        is_verified=False,
    ),
    "standard queue request": Price(
        dollars=0.40e-6,
        unit="request of up to 64 KB",
        page="aws.amazon.com/sqs/pricing",
        stated_by="cloudburn.io/blog/amazon-sqs-pricing, March 2026",
    ),
    "FIFO queue request": Price(
        dollars=0.50e-6,
        unit="request of up to 64 KB",
        page="aws.amazon.com/sqs/pricing",
        stated_by="cloudburn.io/blog/amazon-sqs-pricing, March 2026",
    ),
    "table write": Price(
        dollars=0.625e-6,
        unit="write request unit (1 KB; twice in a transaction)",
        page="aws.amazon.com/dynamodb/pricing/on-demand",
        stated_by="airbyte.com/data-engineering-resources/dynamodb-pricing",
    ),
    "table read": Price(
        dollars=0.125e-6,
        unit="read request unit (4 KB, consistent)",
        page="aws.amazon.com/dynamodb/pricing/on-demand",
        stated_by="airbyte.com/data-engineering-resources/dynamodb-pricing",
    ),
    "table storage": Price(
        dollars=0.25,
        unit="GB-month",
        page="aws.amazon.com/dynamodb/pricing",
        stated_by="aws.amazon.com/dynamodb/pricing, an older copy",
    ),
    "table recovery": Price(
        dollars=0.20,
        unit="GB-month of point-in-time recovery",
        page="aws.amazon.com/dynamodb/pricing/on-demand",
        stated_by="from memory",
        is_verified=False,
    ),
    "object storage": Price(
        dollars=0.023,
        unit="GB-month",
        page="aws.amazon.com/s3/pricing",
        stated_by="devnotes.tech, understanding-aws-s3-pricing",
    ),
    "object write": Price(
        dollars=0.005e-3,
        unit="PUT, POST or LIST",
        page="aws.amazon.com/s3/pricing",
        stated_by="devnotes.tech, understanding-aws-s3-pricing",
    ),
    "object read": Price(
        dollars=0.0004e-3,
        unit="GET",
        page="aws.amazon.com/s3/pricing",
        stated_by="devnotes.tech, understanding-aws-s3-pricing",
    ),
    "file storage": Price(
        dollars=0.30,
        unit="GB-month",
        page="aws.amazon.com/efs/pricing",
        stated_by="factualminds.com/blog/amazon-efs-pricing-throughput-modes-storage-classes, June 2026",
    ),
    "file read": Price(
        dollars=0.03,
        unit="GB, elastic throughput",
        page="aws.amazon.com/efs/pricing",
        stated_by="factualminds.com/blog/amazon-efs-pricing-throughput-modes-storage-classes, June 2026",
    ),
    "file write": Price(
        dollars=0.06,
        unit="GB, elastic throughput",
        page="aws.amazon.com/efs/pricing",
        stated_by="factualminds.com/blog/amazon-efs-pricing-throughput-modes-storage-classes, June 2026",
    ),
    "secret": Price(
        dollars=0.40,
        unit="secret and month",
        page="aws.amazon.com/secrets-manager/pricing",
        stated_by="hivebook.wiki, aws-secrets-manager",
    ),
    "alarm metric": Price(
        dollars=0.10,
        unit="metric of an alarm and month",
        page="aws.amazon.com/cloudwatch/pricing",
        stated_by="c3x.dev/resources/aws/aws_cloudwatch_metric_alarm",
    ),
    "custom metric": Price(
        dollars=0.30,
        unit="metric and month",
        page="aws.amazon.com/cloudwatch/pricing",
        stated_by="signoz.io/guides/cloudwatch-pricing, February 2026",
    ),
    "dashboard": Price(
        dollars=3.00,
        unit="dashboard and month",
        page="aws.amazon.com/cloudwatch/pricing",
        stated_by="factualminds.com/blog/amazon-cloudwatch-pricing-metrics-logs-alarms-dashboards, June 2026",
    ),
    "log": Price(
        dollars=0.50,
        unit="GB taken in",
        page="aws.amazon.com/cloudwatch/pricing",
        stated_by="factualminds.com/blog/amazon-cloudwatch-pricing-metrics-logs-alarms-dashboards, June 2026",
    ),
    "schedule": Price(
        dollars=1.00e-6,
        unit="invocation",
        page="aws.amazon.com/eventbridge/pricing",
        stated_by="cloudburn.io/blog/amazon-eventbridge-pricing, March 2026",
    ),
    "image storage": Price(
        dollars=0.10,
        unit="GB-month",
        page="aws.amazon.com/ecr/pricing",
        stated_by="cloudburn.io/blog/amazon-ecr-pricing, March 2026",
    ),
    "embedding token": Price(
        dollars=0.02e-6,
        unit="token of text-embedding-3-small",
        page="developers.openai.com/api/docs/models/text-embedding-3-small",
        stated_by="tokenprice.fyi/models/text-embedding-3-small, July 2026",
    ),
}
