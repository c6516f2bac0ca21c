"""Stage 2 hosted by Lambda, as it is deployed: outside the VPC, so that OpenAI is reached without a NAT."""

from collections.abc import Sequence

import pulumi

from embed_lambda.environment import EmbedLambdaEnvironment
from one_consumer.claim.handover import AT_ONCE
from stack import aws
from stack.consumers import MappedFunction
from stack.embedding import HostArgs, embedding_statements, embedding_values
from stack.functions import ImageFunction, ImageFunctionArgs, environment_variables

EPHEMERAL_STORAGE_MB = 4_096
"""For the snapshot that merchants are resolved from."""


class EmbedLambda(pulumi.ComponentResource):
    """Function and a mapping for each queue it claims; disabled unless the function is that queue's consumer.

    Attributes:
        mapping: of ``queues.main``.
        switches: what turns the function off there.
    """

    function: ImageFunction
    mapping: aws.lambda_.EventSourceMapping
    switches: Sequence[pulumi.Resource]

    def __init__(self, name: str, args: HostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
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
                        **embedding_values(settings, args.storage, args.queues),
                        "embed_queue_url": args.queues.main.url,
                        "snapshot_cache_directory": "/tmp/snapshots",  # noqa: S108 - Lambda's only writable place
                    },
                ),
                statements=embedding_statements(args.storage, args.queues),
                memory_mb=settings.lambda_.memory_mb,
                timeout_seconds=settings.lambda_.timeout_seconds,
                log_retention_days=settings.log_retention_days,
                ephemeral_storage_mb=EPHEMERAL_STORAGE_MB,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        mappings = []
        for queue, on in args.queues.of("lambda"):
            claim = queue.consume_with(
                MappedFunction(
                    claimant=name,
                    function=self.function.function,
                    role_arn=self.function.role.arn,
                    function_timeout_seconds=settings.lambda_.timeout_seconds,
                    batch_size=settings.lambda_.batch_size,
                    maximum_concurrency=settings.lambda_.maximum_concurrency,
                    enabled=on,
                ),
                self.function.role,
                parent=self,
                handover=(args.handover if queue is args.queues.main else None) or AT_ONCE,
            )
            assert claim.mapping is not None  # noqa: S101 - a function's claim has one
            mappings.append(claim.mapping)
        self.mapping = mappings[0]
        self.switches = [self.mapping]
        self.register_outputs({"function_name": self.function.function.name, "mapping_id": self.mapping.id})
