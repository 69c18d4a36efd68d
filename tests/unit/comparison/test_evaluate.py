"""mureg evaluate on three tiny cases: rows, resuming, failures, tables, figures, refusals."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import sys
import tomllib
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from pydantic import TypeAdapter

from mureg.cli import main
from mureg.cohort.store.cohort import write_case
from mureg.comparison import methods
from mureg.comparison.budget import budget_of
from mureg.comparison.settings import read_settings
from mureg.errors import RegistrationError
from mureg.geometry import RigidTransform
from mureg.recon import Osem
from mureg.registration import MutualInformation, Registration
from mureg.registration.card import Card
from mureg.registration.inputs import InputGrid
from mureg.registration.networks import initialised, preset
from mureg.training.weights import save_network
from support.plug_in import installed
from support.tiny_cohort import tiny_case, tiny_cohort

pytestmark = pytest.mark.usefixtures("forked_processes", "remembered_ventricles")

SETTINGS = """
[measurement.osem]
kind = "osem"
iterations = 2
subsets = 4
[measurement.physics]
kind = "physics"
scatter = "none"
[mutual_information]
kind = "mutual-information"
starts = 1
finish = 1
shrink_factors = [2, 1]
smoothing_mm = [16.0, 12.0]
[resampling]
resamples = 100
"""
LOG = "epoch,samples,seconds,cases_per_second\n1,400,80.0,2.0\n2,800,150.0,10.0\n3,1200,240.0,8.0\n"
ABLATED = "net (SPECT ablated)"
CARD = Card({"kind": "stand-in"}, InputGrid((8, 8, 8), 10.0), trained_on={"samples": 800, "seconds": 150.0})


@dataclass(frozen=True)
class StandIn:
    """Uses the SPECT as mutual information does; without it, it guesses. Refuses the last case, crashes nowhere."""

    weights: Path
    ablated: bool
    kind: str = "learned"

    def register(self, study) -> Registration:
        fixed = study.uncorrected
        if study.acquisition is None or fixed.grid.shape != (32, 32, 32):
            raise RegistrationError("no projections", "some", "give them")
        if self.ablated:
            pose = RigidTransform.from_six((3.0, 3.0, 3.0), (0, 0, 0), fixed.grid.centre_mm)
            return Registration(pose, fixed.grid.centre_mm, self.kind, "moved")
        if np.isclose(float(fixed.values.sum()), float(tiny_case(2).uncorrected.values.sum())):
            raise RegistrationError("a heart it has never seen", "another", "train it on more")
        quick = MutualInformation(starts=1, finish=1, shrink_factors=(2, 1), smoothing_mm=(16.0, 12.0))
        return quick.register(study)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A cohort of three cases of two patients, settings, and weights of a network."""
    folder = tmp_path_factory.mktemp("evaluate")
    tiny_cohort(folder / "tiny", 3)
    (folder / "fast.toml").write_text(SETTINGS)
    (folder / "net").mkdir()
    (folder / "net" / "best.onnx").write_bytes(b"weights")
    (folder / "net" / "log.csv").write_text(LOG)
    seen = {"train": {"cases": ["tiny-000001"]}, "validation": {"cases": ["tiny-000009"]}}
    (folder / "net" / "data.json").write_text(json.dumps(seen))
    return folder


@pytest.fixture
def stand_in(monkeypatch) -> None:
    monkeypatch.setattr(methods, "load_learned", lambda weights, ablated: (StandIn(weights, ablated), 1234, CARD))


def command(place: Path, output: Path, registrars: str, *more: str) -> list[str]:
    cohort, settings = str(place / "tiny"), str(place / "fast.toml")
    return [
        "evaluate",
        "--cohort",
        cohort,
        "--registrars",
        registrars,
        "--settings",
        settings,
        "-o",
        str(output),
        *more,
    ]


def table(output: Path) -> list[dict[str, str]]:
    with (output / "cases.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def whole(place, tmp_path_factory) -> Path:
    """The output of one whole run."""
    output = tmp_path_factory.mktemp("whole") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(methods, "load_learned", lambda weights, ablated: (StandIn(weights, ablated), 1234, CARD))
        names = f"unregistered,oracle,mutual-information,{place / 'net' / 'best.onnx'}"
        assert main(command(place, output, names, "--figures", "1")) == 0
    return output


def test_every_method_has_a_row_for_every_case(whole) -> None:
    rows = table(whole)
    assert [row["method"] for row in rows[:5]] == ["unregistered", "oracle", "mutual-information", "net", ABLATED]
    assert len(rows) == 15
    assert {row["case"] for row in rows} == {f"tiny-{k:06d}" for k in range(3)}
    assert all(row["images"] == "done" for row in rows)
    for row in rows:
        for column in ("delta_t_mm", "heart_mm", "liver_mm", "mu_nmse", "ac_nmse", "ac_nmae_scaled", "polar"):
            assert np.isfinite(float(row[column])), column


def test_the_oracle_is_the_floor_and_the_headers_are_far_above_it(whole) -> None:
    rows = {(row["case"], row["method"]): row for row in table(whole)}
    for case in (f"tiny-{k:06d}" for k in range(3)):
        oracle, unregistered = rows[case, "oracle"], rows[case, "unregistered"]
        assert float(oracle["heart_mm"]) == float(oracle["delta_r_deg"]) == 0.0
        for column in ("mu_nmse", "mu_nmae", "ac_nmse", "ac_nmae", "polar"):
            assert float(unregistered[column]) > 2 * float(oracle[column]) > 0.0
        assert float(rows[case, "mutual-information"]["heart_mm"]) < 0.3 * float(unregistered["heart_mm"])
        true = tiny_case(int(case[-1])).truth.ct_from_spect.six((0, 0, 0))[0]
        assert float(unregistered["tx_mm"]) == pytest.approx(-true[0], abs=1e-5)


def test_what_was_refused_counts_with_the_errors_of_the_headers(whole) -> None:
    rows = {(row["case"], row["method"]): row for row in table(whole)}
    refused, unregistered = rows["tiny-000002", "net"], rows["tiny-000002", "unregistered"]
    assert refused["status"] == "refused"
    assert "a heart it has never seen" in refused["reason"]
    for column in ("tx_mm", "delta_t_mm", "heart_mm", "mu_nmse", "ac_nmse", "polar"):
        assert refused[column] == unregistered[column]


def test_every_number_is_traced_to_its_settings(whole) -> None:
    text = (whole / "settings.toml").read_bytes()
    summary = json.loads((whole / "summary.json").read_text())
    assert summary["settings_sha256"] == hashlib.sha256(text).hexdigest()
    assert summary["settings_sha256"] in (whole / "tables.md").read_text()
    assert {row["measured_with"] for row in table(whole)} == {summary["measured_with"]}
    tables = tomllib.loads(text.decode())
    assert tables["measurement"]["reconstructor"]["subsets"] == 4
    assert tables["methods"][3]["parameters"] == 1234
    assert json.loads(tables["methods"][3]["settings"])["weights"] == f"sha256:{hashlib.sha256(b'weights').hexdigest()}"
    assert "research use only" in summary["use"].lower()


def test_the_summary_says_what_the_rows_say(whole) -> None:
    rows = table(whole)
    summary = {one["method"]: one for one in json.loads((whole / "summary.json").read_text())["summaries"]}
    net = [float(row["heart_mm"]) for row in rows if row["method"] == "net"]
    assert summary["net"]["figures"]["heart_mm"]["mean"] == pytest.approx(np.mean(net))
    assert summary["net"]["figures"]["heart_mm"]["share_above"] == pytest.approx(np.mean(np.array(net) > 6.8))
    assert (summary["net"]["n"], summary["net"]["patients"], summary["net"]["failed"]) == (3, 2, 1)
    assert summary["unregistered"]["seconds"] is None
    against = summary["net"]["figures"]["heart_mm"]
    assert against["against"] == "mutual-information"
    other = [float(row["heart_mm"]) for row in rows if row["method"] == "mutual-information"]
    assert against["difference"] == pytest.approx(np.mean(net) - np.mean(other))
    lines = list(csv.DictReader((whole / "summary.csv").read_text().splitlines()))
    assert {(line["method"], line["metric"]) for line in lines} >= {("net", "polar"), (ABLATED, "delta_r_deg")}


def test_the_tables_have_the_shape_of_the_papers(whole) -> None:
    text = (whole / "tables.md").read_text()
    parts = [part.split("\n\n")[1].splitlines() for part in text.split("Table ")[1:]]
    assert len(parts) == 4
    for lines in parts:
        widths = {line.count("|") for line in lines if line.startswith("|")}
        assert len(widths) == 1, "every row has every cell"
        names = [line.split("|")[1].strip() for line in lines[2:7]]
        assert names == ["Baseline (no correction)", "Oracle (true transform)", "mutual-information", "net", ABLATED]
    assert "| #Parameter | Train | cases seen | minutes | Test |" in parts[0][0]
    assert "| 1,234 | 0.50 s | 1,200 | 4.0 |" in parts[0][5], "four cases at the median pace; all of the run"
    assert "| – | – | – | – |" in parts[0][4], "mutual information was not trained"
    assert "AC SPECT NMAE (%)" in parts[1][0]
    bold = [line for line in parts[0] if "**" in line]
    assert bold, "the best mean is bold"
    assert not any(line.startswith(("| Oracle", f"| {ABLATED}")) for line in bold)


def test_a_network_that_has_seen_the_cases_is_named(whole) -> None:
    assert "net was trained or chosen on 1 of the 3 cases of tiny" in (whole / "tables.md").read_text()
    summary = {one["method"]: one["seen"] for one in json.loads((whole / "summary.json").read_text())["summaries"]}
    assert summary == {"unregistered": 0, "oracle": 0, "mutual-information": 0, "net": 1, ABLATED: 1}


def test_pictures_are_drawn_for_the_first_case(whole) -> None:
    names = sorted(path.name for path in (whole / "figures").iterdir())
    assert names == [f"tiny-tiny-000000-{kind}.png" for kind in ("corrected", "maps", "polar")]
    for name in names:
        assert np.ptp(imread(whole / "figures" / name)) > 0.5


def test_a_second_run_measures_nothing_again_and_a_stopped_one_goes_on(
    place, whole, tmp_path, capsys, stand_in
) -> None:
    output = tmp_path / "out"
    shutil.copytree(whole, output)
    lines = (output / "cases.csv").read_text().splitlines(keepends=True)
    (output / "cases.csv").write_text("".join(lines[:-4]) + lines[-4][:30])  # killed in the middle of the last case
    names = f"unregistered,oracle,mutual-information,{place / 'net' / 'best.onnx'}"
    assert main([*command(place, output, names, "--figures", "0"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["measured"] == 4
    slow = ("seconds",)
    before, after = (
        [{k: v for k, v in row.items() if k not in slow} for row in table(folder)] for folder in (whole, output)
    )
    assert after == before
    drawn = (output / "figures" / "tiny-tiny-000000-maps.png").stat().st_mtime_ns
    assert main([*command(place, output, names, "--figures", "1"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["measured"] == 0
    assert (output / "figures" / "tiny-tiny-000000-maps.png").stat().st_mtime_ns == drawn


def test_images_can_be_left_for_later(place, tmp_path, capsys) -> None:
    output = tmp_path / "out"
    first = command(place, output, "unregistered,oracle", "--images", "0", "--figures", "0", "--limit", "2")
    assert main(first) == 0
    assert "Research use only" in capsys.readouterr().out, "where a result is shown"
    rows = table(output)
    assert len(rows) == 4
    assert all(row["ac_nmse"] == row["polar"] == row["images"] == "" for row in rows)
    assert all(float(row["mu_nmse"]) > 0 for row in rows)
    assert "Table 4" not in (output / "tables.md").read_text()
    capsys.readouterr()
    assert main([*command(place, output, "unregistered,oracle", "--images", "1", "--figures", "0"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["measured"] == 4, "two completed, two of the third case"
    after = table(output)
    assert [row["images"] for row in after] == ["done", "done", "", "", "", ""]
    assert [row["heart_mm"] for row in after[:4]] == [row["heart_mm"] for row in rows]


def test_the_slow_methods_can_be_asked_about_the_first_cases_only(place, whole, tmp_path, capsys, stand_in) -> None:
    """Nothing else changes: the other rows are what they were, tests pair the cases that both have, more can follow."""
    output = tmp_path / "out"
    weights = place / "net" / "best.onnx"
    few = command(place, output, f"unregistered,mutual-information,{weights}", "--images", "0", "--figures", "0")
    assert main([*few, "--classical", "2"]) == 0
    rows, before = table(output), {(row["case"], row["method"]): row for row in table(whole)}
    assert [row["case"] for row in rows if row["method"] == "mutual-information"] == ["tiny-000000", "tiny-000001"]
    assert sum(row["method"] == "net" for row in rows) == 3
    assert all(row["mu_nmse"] == before[row["case"], row["method"]]["mu_nmse"] for row in rows)
    summaries = json.loads((output / "summary.json").read_text())["summaries"]
    all_cases = {one["method"]: one for one in summaries if one["cohort"] == "tiny"}
    common = {one["method"]: one for one in summaries if one["cohort"] == "tiny, the 2 cases of all rows"}
    assert {name: one["n"] for name, one in all_cases.items()} == {
        "unregistered": 3, "mutual-information": 2, "net": 3, ABLATED: 3
    }  # fmt: skip
    assert {one["n"] for one in common.values()} == {2}
    ours, theirs = (
        [float(before[case, name]["heart_mm"]) for case in ("tiny-000000", "tiny-000001")]
        for name in ("net", "mutual-information")
    )
    figure = all_cases["net"]["figures"]["heart_mm"]
    assert (figure["n"], figure["n_pairs"]) == (3, 2)
    assert figure["difference"] == pytest.approx(np.mean(ours) - np.mean(theirs))
    assert common["net"]["figures"]["heart_mm"]["mean"] == pytest.approx(np.mean(ours))
    text = (output / "tables.md").read_text()
    assert "Not on all 3 cases: mutual-information (2)." in text
    assert "(n 2)" in text
    assert not any(line.startswith("| mutual-") and "**" in line for line in text.split("## tiny, the")[0].splitlines())
    capsys.readouterr()
    assert main([*few, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["measured"] == 1
    assert "Not on all" not in (output / "tables.md").read_text()


def test_two_jobs_measure_the_same(place, whole, tmp_path) -> None:
    output = tmp_path / "out"
    assert main(command(place, output, "unregistered,oracle", "--images", "0", "--figures", "0", "--jobs", "2")) == 0
    ours = {(row["case"], row["method"]): row["mu_nmse"] for row in table(whole)}
    assert all(row["mu_nmse"] == ours[row["case"], row["method"]] for row in table(output))


def test_a_crash_is_counted_and_told(place, tmp_path, monkeypatch) -> None:
    def broken(*_, **__):
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(MutualInformation, "register", broken)
    output = tmp_path / "out"
    names = "unregistered,mutual-information"
    assert main(command(place, output, names, "--images", "0", "--figures", "0", "--limit", "1")) == 5
    row = table(output)[1]
    assert (row["status"], row["reason"]) == ("crashed", "ZeroDivisionError: by nothing")


def test_the_weights_of_a_network_get_two_rows(place, tmp_path) -> None:
    """The real thing, all but untrained: read from its file, asked with and without the SPECT."""
    settings = preset("densenet-dusfe", "small")
    weights = tmp_path / "untrained.onnx"
    card = Card(TypeAdapter(type(settings)).dump_python(settings), InputGrid((32, 32, 32), 13.6))
    network = initialised(settings, 1)
    with torch.no_grad():
        list(network.parameters())[-2].mul_(0.01)  # as drawn it tells of leaps that are refused
    save_network(weights, network, card)
    output = tmp_path / "out"
    assert (
        main(command(place, output, f"unregistered,{weights}", "--images", "0", "--figures", "0", "--limit", "1")) == 0
    )
    _, seeing, ablated = table(output)
    assert seeing["status"] == ablated["status"] == "done", seeing["reason"]
    assert (seeing["method"], ablated["method"]) == ("untrained", "untrained (SPECT ablated)")
    assert json.loads(ablated["settings"])["ablated"] is True
    assert seeing["found_tx_mm"] != ablated["found_tx_mm"]
    expected = sum(p.numel() for p in network.parameters())
    assert f"| {expected:,} |" in (output / "tables.md").read_text()


def test_without_a_log_of_its_own_the_card_says_what_training_cost(tmp_path) -> None:
    weights = tmp_path / "best.onnx"
    assert budget_of(weights, replace(CARD, trained_on={})) is None
    for log in (None, "of no run", "samples,seconds,cases_per_second\n16,1.0,4.0\n"):
        if log is not None:
            (tmp_path / "log.csv").write_text(log)
        cost = budget_of(weights, CARD)
        assert (cost.samples, cost.minutes) == (800, 2.5)
        assert np.isnan(cost.batch_seconds)


def test_the_error_over_the_liver_is_taken_at_its_own_points_where_a_case_holds_them(place, whole, tmp_path) -> None:
    liver = np.random.default_rng(1).normal((-60.0, 0.0, -60.0), 30.0, (40, 3))
    for k in (0, 1):
        case = tiny_case(k)
        known = replace(case, truth=replace(case.truth, liver_points_mm=liver)) if k else case
        write_case(known, tmp_path / "tiny" / "cases" / case.name)
    output = tmp_path / "out"
    settings = ["--settings", str(place / "fast.toml"), "--images", "0", "--figures", "0"]
    command = ["evaluate", "--cohort", str(tmp_path / "tiny"), "--registrars", "unregistered", *settings]
    assert main([*command, "-o", str(output)]) == 0
    rows, truth = table(output), tiny_case(1).truth
    assert [row["liver_from"] for row in rows] == ["ball", "points"]
    left = np.linalg.norm(truth.ct_from_spect.apply(liver) - liver, axis=1).mean()
    assert float(rows[1]["liver_mm"]) == pytest.approx(left, abs=1e-5)
    assert rows[0]["liver_mm"] == table(whole)[0]["liver_mm"]
    assert "points of the liver in 1 of 2 cases, a ball" in (output / "tables.md").read_text()
    assert "a ball that stands for the liver" in (whole / "tables.md").read_text()


def test_weights_trained_ablated_get_one_row_that_says_so(place, tmp_path, monkeypatch) -> None:
    card = replace(CARD, ablated=True)
    monkeypatch.setattr(methods, "load_learned", lambda weights, ablated: (StandIn(weights, True), 1234, card))
    output = tmp_path / "out"
    weights = place / "net" / "best.onnx"
    assert (
        main(command(place, output, f"unregistered,{weights}", "--images", "0", "--figures", "0", "--limit", "1")) == 0
    )
    assert [row["method"] for row in table(output)] == ["unregistered", "net (trained with ablated SPECT)"]
    text = (output / "tables.md").read_text()
    assert not any(line.startswith("| net") and "**" in line for line in text.splitlines())


class TestRefusals:
    @pytest.mark.parametrize(
        ("registrars", "more", "words"),
        [
            ("unregistered,magic", (), "no registrar 'magic'"),
            ("unregistered,unregistered", (), "two rows named unregistered"),
            (",", (), "no registrar"),
            ("unregistered,nowhere/best.onnx", (), "no weights at"),
            ("unregistered", ("--against", "oracle"), "no row 'oracle' to compare with"),
            ("unregistered", ("--limit", "0"), "--limit 0"),
            ("unregistered", ("--classical", "0"), "--classical 0"),
            ("unregistered", ("--images", "-1"), "--images -1"),
            ("unregistered", ("--jobs", "0"), "--jobs 0"),
            ("unregistered", ("--skip", "9"), "no case of tiny remains"),
            ("unregistered,elastix", ("--peers", "/no/such/python"), "no answer from the Python"),
            ("unregistered,ants", ("--peers", sys.executable), "no ants in the Python"),
        ],
    )
    def test_what_cannot_be_done_is_said_in_one_line(self, place, tmp_path, capsys, registrars, more, words) -> None:
        assert main(command(place, tmp_path / "out", registrars, *more)) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert len(err.strip().splitlines()) == 1
        assert words in err
        assert not (tmp_path / "out").exists()

    def test_a_folder_that_is_no_cohort(self, place, tmp_path, capsys) -> None:
        empty = tmp_path / "empty"
        empty.mkdir()
        assert main(["evaluate", "--cohort", str(empty), "-o", str(tmp_path / "out")]) == 4
        assert "no cases in" in capsys.readouterr().err

    def test_no_cohort_at_all(self, tmp_path, capsys) -> None:
        assert main(["evaluate", "-o", str(tmp_path / "out")]) == 2
        assert "no cohort" in capsys.readouterr().err

    def test_two_cohorts_of_one_name(self, place, tmp_path, capsys) -> None:
        tiny_cohort(tmp_path / "tiny", 1)
        more = ("--cohort", str(tmp_path / "tiny"))
        assert main(command(place, tmp_path / "out", "unregistered", *more)) == 2
        assert "two cohorts of one name" in capsys.readouterr().err

    def test_figures_of_two_kinds_in_one_folder(self, place, whole, tmp_path, capsys) -> None:
        shutil.copytree(whole, tmp_path / "out")
        assert main(["evaluate", "--cohort", str(place / "tiny"), "-o", str(tmp_path / "out")]) == 2
        assert "another [measurement]" in capsys.readouterr().err

    def test_settings_that_are_none(self, place, tmp_path, capsys) -> None:
        (tmp_path / "wrong.toml").write_text("[elastix]\nno_such_setting = 1\n")
        more = ("--settings", str(tmp_path / "wrong.toml"))
        code = main(["evaluate", "--cohort", str(place / "tiny"), "-o", str(tmp_path / "out"), *more])
        assert code == 2
        assert "no_such_setting" in capsys.readouterr().err


def test_settings_of_the_first_version_keep_their_name_for_the_reconstruction(place) -> None:
    """Rows of 0.1.0 go on: its table [measurement.osem] is read, and the hash is over the tables as 0.1.0 had them."""
    settings = read_settings(place / "fast.toml")
    assert settings.measurement.reconstructor == Osem(iterations=2, subsets=4)
    table = asdict(settings.measurement)
    table["osem"] = table.pop("reconstructor")
    expected = hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()
    assert settings.measured_with == expected[:12]


def test_images_of_another_reconstruction(place, tmp_path, monkeypatch, capsys) -> None:
    """The image is counts in every voxel that are those of the projections: every method then has the same image."""
    installed(
        tmp_path, monkeypatch, {"flat_images": FLAT}, {"mureg.reconstructions": {"flat": "flat_images:Flat"}}, "flat"
    )
    output = tmp_path / "out"
    more = ("--reconstructor", "flat", "--limit", "1", "--figures", "0", "--against", "unregistered")
    assert (
        main(command(place, output, "unregistered,oracle", *more, "--set", "measurement.reconstructor.scale=3.0")) == 0
    )
    assert [float(row["ac_nmse"]) for row in table(output)] == [0.0, 0.0]
    written = tomllib.loads((output / "settings.toml").read_text())["measurement"]["reconstructor"]
    assert written == {"scale": 3.0, "kind": "flat"}
    capsys.readouterr()
    assert main(command(place, output, "unregistered,oracle")) == 2, "the figures of two reconstructions are not mixed"
    assert "another [measurement]" in capsys.readouterr().err
    assert main(command(place, tmp_path / "new", "unregistered", "--reconstructor", "flt")) == 2
    assert "no reconstruction named 'flt'; expected one of flat" in capsys.readouterr().err


FLAT = """
import numpy as np
from mureg import Quantity, Volume

class Flat:
    kind = "flat"
    def __init__(self, scale=1.0): self.scale = scale
    def reconstruct(self, acquisition, system):
        counts = float(acquisition.photopeak_counts.sum())
        return Volume.from_numpy(np.full(system.grid.shape, self.scale * counts), system.grid, Quantity.ACTIVITY)
"""
