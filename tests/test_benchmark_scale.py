"""The benchmark that holds the model against a local stack: its fit finds times that it knows, on a load it is told."""

from dataclasses import replace

import pytest

from benchmarks import scale
from benchmarks.scale import FITTED_LOADS, GROWN_LOAD, HELD_LOADS, START, Observed, deviations, fit, foretold
from ops.scale.scenario import COLLECTIONS
from ops.scale.times import MergeTimes

SIZES = dict.fromkeys(COLLECTIONS, 1e6), dict.fromkeys(COLLECTIONS, 2e7)
"""Of the versions before and after they have grown, in bytes."""


def test_times_that_are_fitted_to_three_loads_foretell_the_others():
    merge = {
        name: MergeTimes(invocation=0.2, delta=0.1, publication=0.2, publication_a_byte=5e-8, upload_a_byte=0)
        for name in COLLECTIONS
    }
    true = replace(START, notification=0.3, upload=0.13, embed=0.1, embed_a_receipt=0.04, stream=0.3, merge=merge)
    fitted = fit([foretold(true, load, SIZES[name == GROWN_LOAD]) for name, load in FITTED_LOADS.items()], START)
    assert fitted != START
    for name, load in HELD_LOADS.items():
        seen, said = foretold(true, load, SIZES[1]), foretold(fitted, load, SIZES[1])
        off = {figure: value for figure, value in deviations(seen, said).items() if figure.startswith("searchable")}
        assert max(map(abs, off.values())) < scale.WANTED, (name, off)
    # Before the fit the model was farther off than is wanted.
    burst = HELD_LOADS["burst of 48"]
    before = deviations(foretold(true, burst, SIZES[1]), foretold(START, burst, SIZES[1]))
    assert max(map(abs, before.values())) > scale.WANTED


def test_a_deviation_is_a_share_of_what_was_seen():
    seen = Observed(arrivals=[0.0, 1.0], recorded=[1.0, 2.0], searchable=[10.0, 20.0])
    said = Observed(arrivals=[0.0, 1.0], recorded=[1.0, 1.0], searchable=[11.0, 30.0])
    assert seen.figures["searchable, all"] == 21.0
    assert deviations(seen, said)["searchable, half"] == pytest.approx(0.5)
    assert deviations(seen, said)["recorded, all"] == pytest.approx(-0.5)


def test_a_busy_machine_is_not_measured(monkeypatch, capsys):
    monkeypatch.setattr("os.getloadavg", lambda: (4.5, 1.0, 1.0))
    monkeypatch.setattr("sys.argv", ["scale"])
    monkeypatch.setattr(scale, "measure", lambda: pytest.fail("it measured"))
    assert scale.main() == 2
    assert "busy" in capsys.readouterr().err
