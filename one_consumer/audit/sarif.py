"""An audit as SARIF 2.1.0, for GitHub's code scanning and other readers. Pure.

The specification is https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html; what code scanning reads of it is
https://docs.github.com/en/code-security/reference/code-scanning/sarif-files/sarif-support.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Final

from one_consumer import VERSION
from one_consumer.audit.judgement import MEANINGS, AuditedQueue, Finding
from one_consumer.audit.words import sentence

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
LEVELS: Final = {Finding.NO_CONSUMER: "warning"}
"""Of a finding; any other is an error."""


def as_sarif(audited: Sequence[AuditedQueue], *, location: str) -> dict[str, Any]:
    """The findings of an audit.

    Args:
        audited: what was looked at.
        location: a file of the repository to show them at, relative to its root: code scanning wants one, and what is
            wrong stands in no file.
    """
    rules = list(Finding)
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "one-consumer",
                        "semanticVersion": VERSION,
                        "rules": [
                            {
                                "id": rule.value,
                                "shortDescription": {"text": MEANINGS[rule]},
                                "fullDescription": {"text": MEANINGS[rule]},
                                "help": {"text": MEANINGS[rule]},
                                "defaultConfiguration": {"level": LEVELS.get(rule, "error")},
                            }
                            for rule in rules
                        ],
                    }
                },
                "results": [
                    _result(item, item.finding, rules.index(item.finding), location)
                    for item in audited
                    if item.finding is not None
                ],
            }
        ],
    }


def _result(item: AuditedQueue, finding: Finding, index: int, location: str) -> dict[str, Any]:
    identity = hashlib.sha256(f"{finding}:{item.expected.url}".encode()).hexdigest()
    return {
        "ruleId": finding.value,
        "ruleIndex": index,
        "level": LEVELS.get(finding, "error"),
        "message": {"text": sentence(item)},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": {"uri": location}, "region": {"startLine": 1}},
                "logicalLocations": [{"fullyQualifiedName": item.expected.url, "kind": "resource"}],
            }
        ],
        # The same finding of the same queue is the same alert at every run, whatever its consumers are.
        "partialFingerprints": {"primaryLocationLineHash": f"{identity[:16]}:1"},
    }
