"""Queues that containers know by a text: an address of SQS, a name that is called one, or a word for anything."""

import pulumi_aws as aws

from tests.policy.parts import allow, mapping, role, service

everything = role("everything", allow("sqs:*", "*"))
HOST = "sqs.us-east-1.amazonaws.com/000000000000"


def known(name: str, variables: dict[str, str] | None = None, command: list[str] | None = None) -> None:
    mapping(f"{name}-mapping", aws.sqs.Queue(name, name=name, fifo_queue=name.endswith(".fifo")).arn)
    service(f"{name}-inside", variables, command=command, task_role=everything.arn, desired_count=1)


known("url", {"URL": f"https://{HOST}/url"})
known("url-in-json", {"SETTINGS": f'{{"poll": ["https://{HOST}/url-in-json"]}}'})
known("old-url", {"URL": "https://queue.amazonaws.com/000000000000/old-url"})
known("endpoint", {"URL": "https://vpce-0a-b.sqs.us-east-1.vpce.amazonaws.com/000000000000/endpoint"})
known("local", {"URL": "http://ministack:4566/000000000000/local"})
known("arn", {"SOURCE": "arn:aws:sqs:us-east-1:000000000000:arn"})
known("kind.fifo", {"SOURCE": "kind.fifo"})
known("spoken", {"INPUT_QUEUE": "spoken"})
known("argument", command=["poll", "--queue-name", "argument"])
known("option", command=["poll --sqs=option"])
known("word", {"OTEL_SERVICE_NAME": "word"})

# Whatever the variable is called, the program took the name from the queue.
made = aws.sqs.Queue("made", name="made")
mapping("made-mapping", made.arn)
service("made-inside", {"SOURCE": made.name}, task_role=everything.arn, desired_count=1)

mapping("outside-word-mapping", aws.sqs.Queue("outside-word", name="outside-word").arn)
service(
    "outside-word-service",
    {"OTEL_SERVICE_NAME": "outside-word"},
    task_role="arn:aws:iam::000000000000:role/platform",
    desired_count=1,
)
