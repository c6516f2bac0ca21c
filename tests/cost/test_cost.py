"""What a stack costs; a month that is priced wrong is found out when it is over."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from ops import cli
from ops.cost import procedure
from ops.cost.capacity import merge_capacity, parts, receipts_until_full, shards, steady
from ops.cost.month import Line, Load, idle, month, total
from ops.cost.prices import HOURS_A_MONTH, PRICES, SECONDS_A_MONTH
from ops.cost.procedure import advice, answer, cheapest, priced_stack
from ops.cost.recording import Resource
from ops.cost.stack import COSTS_NOTHING, PRICED, PricedStack, Task, read_stack
from ops.errors import OperatorError
from ops.scale import work
from ops.scale.times import BENCHMARK

STORED = 600.0


@pytest.fixture(scope="module")
def stack() -> PricedStack:
    return priced_stack("dev", "lambda")


@pytest.fixture(scope="module")
def workers(stack: PricedStack) -> PricedStack:
    """The same with the worker as its consumer, without another evaluation of the program."""
    off = tuple(mapping for mapping in stack.mappings if mapping is not stack.embed)
    return replace(stack, consumer="ecs", embed=None, mappings=off, task=replace(stack.task, most=4))


@pytest.fixture(scope="module")
def spot(workers: PricedStack) -> PricedStack:
    return replace(workers, task=replace(workers.task, is_spot=True))


def lines_of(found: list[Line], what: str) -> list[Line]:
    return [line for line in found if line.what == what]


def test_what_is_priced_is_what_the_program_declares(stack: PricedStack):
    # Pulumi.dev.yaml: 3,008 MB and 10 GB of disk for the merge, five minutes, two zones, two batches at once.
    assert stack.functions["merge"].memory_gb == 3_008 / 1_024
    assert stack.functions["merge"].paid_disk_gb == 9.5
    assert (stack.tick_minutes, stack.publish_every_seconds, stack.stream_window_seconds) == (5, 300, 5)
    assert stack.embed is not None
    assert (stack.embed.batch_size, stack.embed.maximum_concurrency) == (10, 2)
    assert len(stack.mappings) == 4
    assert stack.task == Task(
        vcpu=1, memory_gb=4, has_public_address=True, least=0, most=0, messages_per_task=200, idle_minutes=10
    )
    assert (stack.endpoint_zones, stack.nat_gateways, stack.secrets, stack.dashboards) == (0, 0, 1, 1)
    # Two alarms of the worker's scaling, and those that tell people; some are of metrics that the program writes.
    assert stack.alarm_metrics > 20
    assert 3 < stack.custom_metrics < stack.alarm_metrics
    # What waits is reported for a worker alone.
    assert stack.waiting is None
    assert (stack.old_version_days, stack.delta_days, stack.dimensions) == (1, 90, 1_536)
    assert stack.has_elastic_throughput
    assert not stack.has_billed_key


def test_a_function_that_no_load_reaches_is_told(stack: PricedStack, monkeypatch):
    assert stack.other_functions == ()
    read = replace(stack, other_functions=("another-function",))
    monkeypatch.setattr(procedure, "priced_stack", lambda *_: read)
    shown = CliRunner().invoke(cli.application, ["cost"])
    assert "no load here reaches them: another-function" in shown.output


def test_stage_0_is_priced_where_it_is_on_and_said_to_be_off_where_it_is_not(stack: PricedStack, monkeypatch):
    pictures = priced_stack("dev", "lambda", ocr="tesseract")
    assert stack.pictures is None
    assert pictures.pictures is not None
    assert pictures.pictures.memory_gb == 2.0
    assert pictures.other_functions == ()
    load = Load(receipts=1_000_000, stored=STORED)
    added = {
        (line.group, line.what): line.dollars - sum(old.dollars for old in month(stack, load) if old.what == line.what)
        for line in month(pictures, load)
    }
    # 1.1 s at 2 GB; a call each; received and deleted; 2 MB a picture, half a month on average.
    assert added["compute", "pictures function"] == pytest.approx(2_200_000 * 0.0000166667)
    assert added["compute", "invocations"] == pytest.approx(0.2)
    assert added["queues", "pictures"] == pytest.approx(0.8)
    assert added["objects", "pictures"] == pytest.approx(2e6 * 500_600 / 1e9 * 0.023)
    assert added["objects", "pictures, writes"] == pytest.approx(10)
    assert added["objects", "pictures, reads"] == pytest.approx(1.6)
    # An alarm of the queue's age, one of its dead letters, two of the function.
    assert added["rest", "alarms"] == pytest.approx(0.4)
    found = {part.name: part.capacity for part in parts(pictures, BENCHMARK, stored=STORED)}
    assert found["pictures function"] == pytest.approx(2 / 1.1)
    for priced, said in ((stack, "stage 0 is off"), (pictures, "stage 0 is on")):
        monkeypatch.setattr(procedure, "priced_stack", lambda *_, priced=priced: priced)
        assert said in CliRunner().invoke(cli.application, ["cost"]).output
        document = json.loads(CliRunner().invoke(cli.application, ["cost", "--json"]).stdout)
        assert document["pictures"] is (priced is pictures)


def test_compute_and_network_of_an_idle_stack_cost_less_than_a_dollar(stack: PricedStack):
    found = month(stack, idle(STORED))
    assert total(found, "network") == 0
    assert 0 < total(found, "compute", "network") < 1
    assert {line.group for line in found} == {"compute", "queues", "table", "objects", "files", "rest"}


def test_an_interface_endpoint_would_cost_by_the_hour_and_zone(stack: PricedStack):
    before, after = (total(month(item, idle(STORED))) for item in (stack, replace(stack, endpoint_zones=1)))
    assert after - before == pytest.approx(7.30)


def test_a_task_that_always_runs_costs_its_size_and_its_address(workers: PricedStack):
    load = Load(receipts=0, stored=STORED, task_hours=HOURS_A_MONTH)
    found = month(workers, load)
    assert sum(line.dollars for line in found if line.what.startswith("worker, ")) == pytest.approx(
        42.53 + 3.65, abs=0.01
    )


def test_spare_capacity_is_cheaper_and_what_waits_is_asked_once_a_minute(workers: PricedStack, spot: PricedStack):
    load = Load(receipts=0, stored=STORED, task_hours=HOURS_A_MONTH)
    dear, cheap = (
        sum(line.dollars for line in month(item, load) if line.what in {"worker, processors", "worker, memory"})
        for item in (workers, spot)
    )
    assert cheap == pytest.approx(0.3 * dear)
    asked = replace(workers, waiting=workers.functions["stream"], waiting_minutes=1.0)
    (calls,) = lines_of(month(asked, idle(STORED)), "waiting function, calls")
    assert calls.quantity == 43_800
    assert not lines_of(month(workers, idle(STORED)), "waiting function, calls")


def test_a_publication_writes_whole_versions_and_s3_keeps_them_for_the_days_of_its_rule(stack: PricedStack):
    size = sum(work.version_bytes(name, STORED, 1_536) for name in ("lines", "words")) / 1e9
    # Two versions of 170 MB each at 70,000 words and 34,000 lines (docs/benchmarks.md).
    assert 0.25 < size < 0.35
    load = Load(receipts=1, stored=STORED, publications=8_760)
    (written,) = lines_of(month(stack, load), "publications")
    assert written.dollars == pytest.approx(8_760 * size * 0.06)
    (kept,) = lines_of(month(stack, load), "replaced versions")
    (longer,) = lines_of(month(replace(stack, old_version_days=30), load), "replaced versions")
    assert kept.dollars == pytest.approx(292 * 1.5 * size * 0.023)
    assert longer.quantity / kept.quantity == pytest.approx(30.5 / 1.5)


def test_a_type_of_resource_that_nobody_priced_is_refused():
    with pytest.raises(OperatorError, match=r"COST_UNKNOWN.*aws:rds/instance:Instance"):
        read_stack([Resource(type="aws:rds/instance:Instance", name="db", inputs={})], consumer="lambda")
    assert not COSTS_NOTHING & PRICED


def test_every_price_says_where_it_was_read_and_whether_the_number_stood_there():
    for name, price in PRICES.items():
        assert price.dollars > 0, name
        assert price.page.count(".") >= 2, name
        assert price.is_verified is not price.stated_by.startswith("from memory"), name


def test_a_load_within_every_parts_capacity_is_searchable_within_the_interval_and_the_cheapest_is_chosen(
    stack: PricedStack, workers: PricedStack
):
    answers = {"lambda": answer(stack, 0.5, STORED), "ecs": answer(workers, 0.5, STORED)}
    for found in answers.values():
        assert not found.is_saturated
        half, most = found.seconds
        assert 150 < half < 300 < most < 360
    assert answers["ecs"].tasks == 1
    assert cheapest(answers) == min(answers, key=lambda name: answers[name].dollars)


def test_a_load_beyond_a_part_is_told_as_such_and_priced_as_if_there_were_enough_of_it(stack: PricedStack):
    beyond, above = answer(stack, 40.0, STORED), answer(stack, 80.0, STORED)
    assert beyond.is_saturated
    assert beyond.first is not None
    assert beyond.first.capacity < 40
    assert cheapest({"lambda": beyond}) is None
    # What is paid by the receipt doubles; the versions, which do not, are a small part of it.
    assert above.dollars / beyond.dollars == pytest.approx(2, rel=0.05)


def test_the_parts_take_what_their_settings_and_times_give(stack: PricedStack, workers: PricedStack):
    found = {part.name: part.capacity for part in parts(stack, BENCHMARK, stored=STORED)}
    assert found["upload function"] == 2 / 0.4
    assert found["embed function"] == pytest.approx(2 * 10 / (0.9 + 10 * 0.05))
    assert "worker" not in found
    by_task = {part.name: part.capacity for part in parts(workers, BENCHMARK, stored=STORED)}
    assert by_task["worker"] == pytest.approx(4 * 31 / (0.9 + 31 * 0.05))
    # 100 word deltas in 9.0 s and ten in 1.3 s: 11.7 a second, less a publication every five minutes.
    assert 11 < found["merge of words"] < 11.7
    assert list(found.values()) == sorted(found.values())


def test_so_many_shards_are_enough_and_one_less_is_not(stack: PricedStack):
    for rate in (1.0, 40.0, 1_000.0):
        count = shards(stack, BENCHMARK, rate, STORED)

        def is_enough(parted: int, rate: float = rate) -> bool:
            own = STORED / parted
            return all(
                rate / parted <= 0.8 * merge_capacity(stack, BENCHMARK, name, own) for name in ("lines", "words")
            )

        assert is_enough(count)
        assert count == 1 or not is_enough(count - 1)


def test_the_disk_is_full_when_both_collections_fill_it_twice(stack: PricedStack):
    full = receipts_until_full(stack)
    size = [sum(work.version_bytes(name, at, 1_536) for name in ("lines", "words")) for at in (full, full * 1.01)]
    assert size[0] * 2 < 10 * 1_024**3 < size[1] * 2


def test_the_days_until_the_disk_is_full_begin_with_what_is_stored(stack: PricedStack):
    answers = {"lambda": answer(stack, 0.1, STORED)}
    full = receipts_until_full(stack)
    assert advice(answers, 0.1, full - 8_640).endswith("in 1.0 days at this rate")
    assert advice(answers, 0.1, full * 2.0).endswith("in 0.0 days at this rate")


def test_a_saturated_loads_months_are_those_of_a_simulated_one_that_is_not(stack: PricedStack):
    """The two ways to a month meet where both are right."""
    rate = 3.0
    load, _ = steady(stack, BENCHMARK, rate, STORED)
    simulated = answer(stack, rate, STORED).load
    assert load.receipts == pytest.approx(simulated.receipts, rel=0.05)
    assert load.publications == pytest.approx(simulated.publications, rel=0.15)
    for function, within in (("merge", 0.2), ("upload", 0.01)):
        assert load.busy_seconds[function] == pytest.approx(simulated.busy_seconds[function], rel=within)


def test_the_command_answers_for_every_consumer_as_text_and_as_json(stack: PricedStack, monkeypatch):
    asked: list[tuple[str, str]] = []

    def priced(name: str, consumer: str) -> PricedStack:
        asked.append((name, consumer))
        return stack

    monkeypatch.setattr(procedure, "priced_stack", priced)
    shown = CliRunner().invoke(cli.application, ["cost", "--rate", "0.2", "--stored", "1000"])
    assert shown.exit_code == 0, shown.output
    assert asked == [("dev", "lambda"), ("dev", "ecs"), ("dev", "hybrid")]
    for word in ("a month", "searchable, 99 of 100", "choose lambda", "the merge's disk is full"):
        assert word in shown.output
    result = CliRunner().invoke(cli.application, ["cost", "--json"])
    document = json.loads(result.stdout)
    assert (document["stack"], document["rate"], document["prices_of"]) == ("dev", 0, "2026-11-28")
    found = document["consumers"]["lambda"]
    assert found["dollars"] == pytest.approx(sum(found["groups"].values()), abs=0.01)
    assert found["searchable_seconds"] == {"p50": None, "p99": None}
    for wrong in (["--rate", "-1"], ["--rate", "nan"], ["--rate", "1e-300"], ["--stored", "inf"], ["--stored", "0"]):
        assert CliRunner().invoke(cli.application, ["cost", *wrong]).exit_code == 2


def test_one_receipt_a_day_is_priced_as_one_a_day(stack: PricedStack):
    rate = 0.000_012
    found = answer(stack, rate, STORED)
    assert found.load.receipts == pytest.approx(rate * SECONDS_A_MONTH, rel=0.5)
