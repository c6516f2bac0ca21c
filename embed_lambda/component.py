"""Stage 2 hosted by Lambda, as it is deployed: outside the VPC, so that OpenAI is reached without a NAT."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from embed_lambda.environment import EmbedLambdaEnvironment
from stack.embedding import embedding_statements, embedding_values
from stack.functions import ImageFunction, ImageFunctionArgs, environment_variables
from stack.queues import FunctionConsumer, Queue
from stack.settings import Settings
from stack.storage import Storage

EPHEMERAL_STORAGE_MB = 4_096
"""For the snapshot that merchants are resolved from."""


@dataclass(frozen=True, kw_only=True)
class EmbedLambdaArgs:
    """What the host needs.

    Attributes:
        start_after: what turns the other host off.
    """

    settings: Settings
    image_uri: pulumi.Input[str]
    storage: Storage
    queue: Queue
    start_after: Sequence[pulumi.Resource] = ()


class EmbedLambda(pulumi.ComponentResource):
    """Function and mapping; the mapping is disabled unless the function is the chosen consumer."""

    function: ImageFunction
    mapping: aws.lambda_.EventSourceMapping
    switches: Sequence[pulumi.Resource]

    def __init__(self, name: str, args: EmbedLambdaArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("receipts:stage:EmbedLambda", name, None, opts)
        settings = args.settings
        self.function = ImageFunction(
            name,
            ImageFunctionArgs(
                image_uri=args.image_uri,
                handler="embed_lambda.handler.embed",
                variables=environment_variables(
                    EmbedLambdaEnvironment,
                    {
                        **embedding_values(settings, args.storage, args.queue),
                        "snapshot_cache_directory": "/tmp/snapshots",  # noqa: S108 - Lambda's only writable place
                    },
                ),
                statements=embedding_statements(args.storage, args.queue),
                memory_mb=settings.lambda_.memory_mb,
                timeout_seconds=settings.lambda_.timeout_seconds,
                log_retention_days=settings.log_retention_days,
                ephemeral_storage_mb=EPHEMERAL_STORAGE_MB,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        claim = args.queue.consume_with(
            FunctionConsumer(
                claimant=name,
                function=self.function.function,
                role=self.function.role,
                function_timeout_seconds=settings.lambda_.timeout_seconds,
                batch_size=settings.lambda_.batch_size,
                maximum_concurrency=settings.lambda_.maximum_concurrency,
                enabled=settings.embed_consumer == "lambda",
                start_after=args.start_after,
            ),
            parent=self,
        )
        assert claim.mapping is not None  # noqa: S101 - a function's claim has one
        self.mapping = claim.mapping
        self.switches = [self.mapping, claim.rights]
        self.register_outputs({"function_name": self.function.function.name, "mapping_id": self.mapping.id})
