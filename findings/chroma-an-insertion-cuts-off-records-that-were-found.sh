#!/usr/bin/env bash
# chromadb 1.5.9: adding records makes older ones impossible to find, although nothing was deleted or updated.
#
# Guess: a record that a query with its own vector returns goes on being returned as long as nothing is deleted or
# updated; an HNSW index that grows may lose new records, never old ones, and a wider search finds what a narrow one
# does not.
# Seen: labelled numbers ("REF 0A1B2C3D4E", as n-gram vectors), max_neighbors 8. Of the first 2,000 records some are no
# longer among even 1,000 of 4,000 answers to their own vector once 2,000 others were added; count() and get() show
# nothing. Insertion drops a link of a full neighbour to make room for the new record, and that link may have been the
# last one to a third record.
# What is cut off can be read from the files without a query: data_level0.bin begins each record with its links, labels
# number the records in the order of embeddings.seq_id, and a record to which no other links is practically never found.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
"${PYTHON:-python3}" -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check 'chromadb==1.5.9' 'numpy<3'
"$place/venv/bin/python" - "$place/data" <<'PYTHON'
import sqlite3
import struct
import sys
import zlib
from pathlib import Path

import chromadb
import numpy as np

DIRECTORY, OLDER, ALL, WIDE = Path(sys.argv[1]), 2_000, 4_000, 1_000


def vectors_of(texts):
    found = np.zeros((len(texts), 256), dtype=np.float32)
    for row, text in zip(found, texts):
        padded = f" {text} "
        for size in (2, 3):
            for start in range(len(padded) - size + 1):
                number = zlib.crc32(padded[start : start + size].encode())
                row[number % 256] += 1 if number >> 31 else -1
    return found


def unfound(collection, identifiers, vectors):
    missing = set()
    for start in range(0, len(identifiers), 200):
        part = identifiers[start : start + 200]
        answers = collection.query(query_embeddings=vectors[start : start + 200], n_results=WIDE, include=[])["ids"]
        missing |= {own for own, answer in zip(part, answers) if own not in answer}
    return missing


def without_links():
    (header,) = DIRECTORY.glob("*/header.bin")
    _, _, _, count, size, label_at, vector_at = struct.unpack_from("<iQQQQQQ", header.read_bytes())
    content = np.fromfile(header.parent / "data_level0.bin", dtype=np.uint8)[: count * size].reshape(count, size)
    links = np.ascontiguousarray(content[:, :vector_at]).view("<u4")
    labels = np.ascontiguousarray(content[:, label_at : label_at + 8]).view("<u8")[:, 0]
    is_link = np.arange(links.shape[1] - 1) < (links[:, :1] & 0xFFFF)
    linked = np.bincount(links[:, 1:][is_link], minlength=count)
    database = sqlite3.connect(DIRECTORY / "chroma.sqlite3")
    order = [row[0] for row in database.execute("SELECT embedding_id FROM embeddings ORDER BY seq_id")]
    database.close()
    return {order[label - 1] for label in labels[linked == 0]}


numbers = np.random.default_rng(1)
vectors = vectors_of([f"REF {numbers.integers(16**10):010X}" for _ in range(ALL)])
identifiers = [str(number) for number in range(ALL)]
hnsw = {"space": "cosine", "max_neighbors": 8, "ef_construction": 8, "batch_size": 100, "sync_threshold": 500}
client = chromadb.PersistentClient(path=str(DIRECTORY))
collection = client.create_collection("texts", embedding_function=None, configuration={"hnsw": hnsw})


def add(first, last):
    for start in range(first, last, 500):
        collection.add(ids=identifiers[start : start + 500], embeddings=vectors[start : start + 500])


add(0, OLDER)
before = unfound(collection, identifiers[:OLDER], vectors[:OLDER])
add(OLDER, ALL)
after = unfound(collection, identifiers[:OLDER], vectors[:OLDER])
count, held = collection.count(), len(collection.get(ids=sorted(after), include=[])["ids"])
every = unfound(collection, identifiers, vectors)
client.close()
unlinked = without_links()
print(
    f"chromadb {chromadb.__version__}: of the first {OLDER} not found {len(before)} before, {len(after)} after "
    f"{ALL - OLDER} more; cut off {len(after - before)}; count {count}, get returns {held} of {len(after)}; "
    f"{len(unlinked)} records have no link, {len(unlinked & every)} of them are not found"
)
assert len(after - before) >= 3, "nothing that was found before was cut off"
assert (count, held) == (ALL, len(after)), "count or get show what is lost"
assert len(unlinked) >= 3, "every record has a link"
assert len(unlinked & every) >= 0.9 * len(unlinked), "records without links are found"
PYTHON
