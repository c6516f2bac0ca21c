"""The architecture, top to bottom: settings, foundations, the stages, the exports."""

import pulumi

from compaction_handler.component import CompactionHandler, CompactionHandlerArgs
from compaction_worker.component import ChromaCompactionWorker, ChromaCompactionWorkerArgs
from embed_lambda.component import EmbedLambda, EmbedLambdaArgs
from stack import exports, settings
from stack.embedding import loser_first
from stack.image import ContainerImage
from stack.network import Network, NetworkArgs
from stack.queues import Queue, QueueArgs
from stack.settings import SECONDS_PER_DAY
from stack.storage import Storage, StorageArgs
from upload_images.component import UploadImages, UploadImagesArgs

config = settings.read()

# Foundations.
image = ContainerImage("image", config.image_uri).uri
network = Network("network", NetworkArgs(cidr=config.network.cidr, zones=config.network.zones, region=config.region))
storage = Storage(
    "storage",
    StorageArgs(network=network, protect=config.protect_data, keep_secret=config.embedder == "openai"),
)
embed_queue = Queue(
    "embed",
    QueueArgs(
        fifo=True,
        visibility_timeout_seconds=config.queue.visibility_timeout_seconds,
        max_receive_count=config.queue.max_receive_count,
        retention_seconds=config.queue.retention_days * SECONDS_PER_DAY,
    ),
)

# Stage 1: OCR results become artifacts and embed messages.
upload = UploadImages(
    "upload", UploadImagesArgs(settings=config, image_uri=image, storage=storage, embed_queue=embed_queue)
)

# Stage 2: one queue, two hosts, one consumer; the one that is not chosen is turned off first.
host = {"settings": config, "image_uri": image, "storage": storage, "queue": embed_queue}
embed, worker = loser_first(
    config.embed_consumer,
    lambda off: EmbedLambda("embed-lambda", EmbedLambdaArgs(**host, start_after=off)),
    lambda off: ChromaCompactionWorker("worker", ChromaCompactionWorkerArgs(**host, network=network, start_after=off)),
)

# Stage 3: recorded runs are merged into the collections and published.
compaction = CompactionHandler(
    "compaction", CompactionHandlerArgs(settings=config, image_uri=image, storage=storage, network=network)
)

for name, value in exports.collect(
    config, storage, embed_queue, upload=upload, embed=embed, worker=worker, compaction=compaction
).items():
    pulumi.export(name, value)
