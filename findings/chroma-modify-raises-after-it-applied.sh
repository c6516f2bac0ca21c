#!/usr/bin/env bash
# chromadb 1.5.9: where warnings are errors, Collection.modify raises although the change is already stored.
#
# Guess: a collection that was made with a configuration and embedding_function=None is modified without a warning, and
# a call that raises has changed nothing. (Without a configuration at creation there is no warning.)
# Seen (Python 3.11): Collection.modify stores the change first and then reads the collection's own configuration, where
# "no embedding function" is written in the form that chromadb itself calls legacy. It warns of that; with -W error the
# warning comes out as
#   ValueError: Could not deserialize configuration_json: legacy embedding function config
# and the next client finds the new ef_search. Without -W error the same call only warns.
# So a caller that treats the exception as "not done" is wrong, and a test suite with warnings as errors cannot call
# modify on such a collection at all.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
"${PYTHON:-python3}" -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check 'chromadb==1.5.9' 'numpy<3'
"$place/venv/bin/python" - "$place/data" <<'PYTHON'
import sys
import warnings

import chromadb
import numpy as np


def width(collection):
    return collection.configuration_json["hnsw"]["ef_search"]


def opened():
    client = chromadb.PersistentClient(path=sys.argv[1])
    return client, client.get_collection("texts", embedding_function=None)


client = chromadb.PersistentClient(path=sys.argv[1])
collection = client.create_collection(
    "texts", embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
)
collection.add(ids=["a", "b"], embeddings=np.eye(2, dtype=np.float32))
before = width(collection)
client.close()

client, collection = opened()
raised = None
with warnings.catch_warnings():
    warnings.simplefilter("error", DeprecationWarning)
    try:
        collection.modify(configuration={"hnsw": {"ef_search": 77}})
    except ValueError as error:
        raised = str(error)
client.close()

client, collection = opened()
after = width(collection)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    collection.modify(configuration={"hnsw": {"ef_search": 78}})
told = sorted({str(item.message) for item in caught if issubclass(item.category, DeprecationWarning)})
client.close()

print(f"chromadb {chromadb.__version__}: ef_search {before} before, raised {raised!r}, {after} afterwards; warns {told}")
assert raised is not None and "legacy embedding function config" in raised, raised
assert (before, after) == (100, 77), (before, after)
assert told == ["legacy embedding function config"], told
PYTHON
