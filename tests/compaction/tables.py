"""The table of runs as the stack makes it, for tests."""

from typing import Any

from pipeline.runs.repository import UNFINISHED_INDEX


def create_table(dynamodb: Any, name: str) -> None:
    """Create it, with its index of unfinished runs."""
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "PK", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": attribute, "AttributeType": "S"}
            for attribute in ("PK", "SK", "unfinished_state", "created_at")
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": UNFINISHED_INDEX,
                "KeySchema": [
                    {"AttributeName": "unfinished_state", "KeyType": "HASH"},
                    {"AttributeName": "created_at", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
