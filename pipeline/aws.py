"""The type of a boto3 client: its methods are generated at run time, so a checker can know none of them."""

from typing import Any

AwsClient = Any
