"""The architecture, top to bottom: settings, foundations, the stages, the exports."""

import pulumi

from compaction_handler.component import CompactionHandler, CompactionHandlerArgs
from compaction_worker.component import ChromaCompactionWorker, ChromaCompactionWorkerArgs
from embed_lambda.component import EmbedLambda
from stack import exports, loading
from stack.alarms import Alarms, AlarmsArgs
from stack.embedding import FUNCTION_NAME, WORKER_NAME, EmbedQueues, HostArgs, outgoing_first
from stack.image import ContainerImage
from stack.network import Network, NetworkArgs
from stack.storage import Storage, StorageArgs
from upload_images.component import UploadImages, UploadImagesArgs

config = loading.read()

# Foundations.
image = ContainerImage("image", config.image_uri, protect=config.protect_data).uri
network = Network("network", NetworkArgs(cidr=config.network.cidr, zones=config.network.zones, region=config.region))
storage = Storage(
    "storage",
    StorageArgs(network=network, protect=config.protect_data, keep_secret=config.embedder == "openai"),
)
embed_queues = EmbedQueues("embed", config, loading.read_access(config))

# Stage 1: OCR results become artifacts and embed messages.
upload = UploadImages(
    "upload", UploadImagesArgs(settings=config, image_uri=image, storage=storage, embed_queues=embed_queues)
)

# Stage 2: two hosts of one core, one consumer a queue; the one that is not chosen is turned off first.
host = {"settings": config, "image_uri": image, "storage": storage, "queues": embed_queues}
embed, worker = outgoing_first(
    embed_queues,
    lambda handover: EmbedLambda(FUNCTION_NAME, HostArgs(**host, handover=handover)),
    lambda handover: ChromaCompactionWorker(
        WORKER_NAME, ChromaCompactionWorkerArgs(**host, handover=handover, network=network)
    ),
)

# Stage 3: recorded runs are merged into the collections and published.
compaction = CompactionHandler(
    "compaction", CompactionHandlerArgs(settings=config, image_uri=image, storage=storage, network=network)
)

storage.let_in(writer=compaction.merge.role, reader=worker.role)

# What rings when a receipt does not come through.
stages = {"upload": upload, "embed": embed, "worker": worker, "compaction": compaction}
Alarms("alarms", AlarmsArgs(settings=config, storage=storage, embed_queues=embed_queues, **stages))

for name, value in exports.collect(config, storage, embed_queues, **stages).items():
    pulumi.export(name, value)
