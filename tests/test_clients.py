"""Every boto3 client is made in one place, with time-outs: a call without them may outlast a lease or a stop."""

import re
from pathlib import Path

import pytest

from one_consumer.live.clients import ATTEMPTS, CONNECT_SECONDS
from pipeline.aws import OTHER_READ_SECONDS, READ_SECONDS, connect
from stack.settings import MergeSettings

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = (
    "pipeline",
    "upload_images",
    "embed_lambda",
    "compaction_worker",
    "compaction_handler",
    "ops",
    "stack",
    "one_consumer",
)
MAKES_A_CLIENT = re.compile(r"\b(?:boto3|session|Session\(.*\))\.(?:client|resource)\b")
PAUSES = 3
"""Seconds between three attempts, at most (botocore, standard retry mode: up to 1 and then up to 2)."""


def test_nobody_else_makes_a_client():
    makers = {
        str(path.relative_to(ROOT))
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        if MAKES_A_CLIENT.search(path.read_text()) or "(session or boto3).client" in path.read_text()
    }
    assert makers == {"one_consumer/live/clients.py"}


@pytest.mark.parametrize("service", ["dynamodb", "sqs", "s3", "lambda", "secretsmanager"])
def test_a_call_ends_in_time(service):
    client = connect(service, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y")
    config = client.meta.config
    client.close()
    assert config.connect_timeout == CONNECT_SECONDS
    assert config.read_timeout == READ_SECONDS.get(service, OTHER_READ_SECONDS)
    assert config.retries["mode"] == "standard"
    longest = ATTEMPTS * (config.connect_timeout + config.read_timeout) + PAUSES
    least_lease = next(item.ge for item in MergeSettings.model_fields["lease_seconds"].metadata if hasattr(item, "ge"))
    assert longest < (least_lease if service == "dynamodb" else 120)


def test_a_long_poll_is_no_time_out():
    assert READ_SECONDS["sqs"] > 20
