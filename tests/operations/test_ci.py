"""The texts that workflows make: a comment that stays in its block, a configuration of which one line has changed."""

import re
import subprocess
import sys

import pytest
import yaml

from ops.ci.comment import LONGEST_COMMENT, comment, fenced, section, shortened
from ops.ci.pin_image import KEY, pinned
from stack.loading import load
from tests.program.engine import DIGEST_IMAGE, PROJECT

REFUSED = """Previewing update (dev):

 +  pulumi:pulumi:Stack receipts-dev create error: CHOICE_UNKNOWN: receipts:embedConsumer = 'fargate'
Diagnostics:
  pulumi:pulumi:Stack (receipts-dev):
    error: CHOICE_UNKNOWN: receipts:embedConsumer = 'fargate'. Way out: set it to lambda.

Policies:
    x one-consumer@v1.0.0 [mandatory]

Resources:
    + 1 to create
    1 errored
"""
PLANNED = "Previewing update (dev):\n\nResources:\n    ~ 2 to update\n    125 unchanged\n"


def test_a_refusal_stands_first_and_open():
    made = comment("dev", REFUSED, 255)
    title, opened, folded = made.split("\n\n", 1)[0], made.split("<details>")[0], made.split("<details>")[1]
    assert title == "### `pulumi preview` of `dev`: failed with exit code 255"
    assert "Way out: set it to lambda." in opened
    assert "one-consumer@v1.0.0 [mandatory]" in opened
    assert "1 to create" not in opened
    assert "1 to create" in folded


def test_a_plan_is_told_in_the_title_and_folded():
    made = comment("dev", PLANNED, 0)
    assert made.startswith("### `pulumi preview` of `dev`: 2 to update, 125 unchanged\n\n<details>")


@pytest.mark.parametrize("output", ["", "\n", "error: no such stack\n"])
def test_whatever_pulumi_says_there_is_a_comment(output):
    assert "failed with exit code 1" in comment("dev", output, 1)


@pytest.mark.parametrize(
    "text", ["```\n</details>", "a ````` b", "`" * 40_000, "x" * 100_000, "\n".join(["`" * 9] * 9_000)]
)
def test_a_comment_fits_and_nothing_in_it_ends_its_block(text):
    made = comment("dev", f"{text}\nDiagnostics:\n    {text}\n", 1)
    assert len(made) <= LONGEST_COMMENT
    fences = re.findall(r"^(`{3,})(text)?$", made, flags=re.MULTILINE)
    opening = [fence for fence, kind in fences if kind]
    assert len(opening) == 2
    for fence in opening:
        inside = made.split(f"{fence}text\n", 1)[1].split(f"\n{fence}\n", 1)[0]
        assert f"\n{fence}\n" not in inside


def test_control_characters_do_not_reach_the_page():
    assert "\x1b" not in comment("dev", "\x1b[31mred\x07\n", 0)


def test_a_section_ends_where_the_next_one_begins():
    assert section(REFUSED, "Policies:") == "Policies:\n    x one-consumer@v1.0.0 [mandatory]"
    assert section(REFUSED, "Outputs:") == ""


def test_of_a_long_text_both_ends_are_kept():
    cut = shortened("a" * 500 + "b" * 500, 300)
    assert len(cut) == 300
    assert (cut[0], cut[-1]) == ("a", "b")
    assert shortened("short", 300) == "short"
    assert fenced("a `b` c") == "```text\na `b` c\n```"


DEV = (PROJECT / "Pulumi.dev.yaml").read_text()


@pytest.mark.parametrize(
    "before",
    [
        DEV,
        pinned(DEV, DIGEST_IMAGE.replace("a" * 64, "c" * 64)),
        'config:\n    "receipts:imageUri": old\n    aws:region: us-east-1\nencryptionsalt: v1\n',
        "encryptionsalt: v1\nconfig: # nothing yet\n",
    ],
)
def test_an_image_is_set_and_nothing_else_changes(before):
    after = pinned(before, DIGEST_IMAGE)
    old, new = yaml.safe_load(before), yaml.safe_load(after)
    assert new == old | {"config": (old["config"] or {}) | {KEY: DIGEST_IMAGE}}
    assert {line for line in before.splitlines() if "#" in line} <= set(after.splitlines())
    assert pinned(after, DIGEST_IMAGE) == after
    settings = {
        key.removeprefix("receipts:"): value for key, value in new["config"].items() if key.startswith("receipts:")
    }
    assert load(settings).image_uri == DIGEST_IMAGE


@pytest.mark.parametrize(
    ("text", "image"), [("a: b\n", DIGEST_IMAGE), (DEV, "r:latest"), (DEV, "r@sha256:a"), (DEV, f"r {DIGEST_IMAGE}")]
)
def test_what_cannot_be_set_is_one_sentence_and_changes_nothing(text, image, tmp_path):
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(text)
    command = [sys.executable, "-m", "ops.ci.pin_image", str(file), image]
    done = subprocess.run(command, cwd=PROJECT, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert re.fullmatch(r"the image is not set: .+\n", done.stderr)
    assert file.read_text() == text
