# One image for every host: the functions name their handler, the ECS task names its own entry point.
FROM python:3.13-slim-bookworm

# HOME: chromadb looks for it when it is imported, and a function's user has no passwd entry; /tmp alone can be written.
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
WORKDIR /app

COPY requirements/runtime.txt requirements/runtime.txt
RUN pip install --no-cache-dir --requirement requirements/runtime.txt

COPY one_consumer/live one_consumer/live
COPY pipeline pipeline
COPY upload_images upload_images
COPY embed_lambda embed_lambda
COPY compaction_worker compaction_worker
COPY compaction_handler compaction_handler

# The task runs as this user on a read-only root; an ephemeral volume takes its owner from here.
RUN useradd --uid 1000 --no-create-home receipts \
    && mkdir -p /var/lib/receipts \
    && chown 1000:1000 /var/lib/receipts
VOLUME ["/var/lib/receipts", "/tmp"]

ENTRYPOINT ["python", "-m", "awslambdaric"]
