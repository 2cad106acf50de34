"""The page of the bench, from figures made up here: what a GPU measured, and what is said where there is none."""

from benchmarks.jobs import ON_A_GPU
from benchmarks.report import page
from benchmarks.speed import PAGES, kept, run, solving, summary, write


def test_what_a_gpu_measured_is_on_the_page():
    row = {"threads": 1, "first_iteration_seconds": 3.25, "seconds": 9.0, "peak_mib": 100}
    rows = {
        "rlzoo jax": [row | {"steps_per_second": rate} for rate in (3000.0, 5000.0, 4000.0)],
        "rlzoo torch": [{"error": "no such device"}],
        "sb3": [row | {"steps_per_second": 1000.0, "first_iteration_seconds": -0.04}],
    }
    jobs = {"sac-pendulum-4096": summary(ON_A_GPU["sac-pendulum-4096"], rows)}
    on = {"device": "A GPU", "cores": 16, "python": "3.12.3", "versions": {"jax": "0.11.2"}}
    report = kept()
    text = page(report | {"gpu": on | {"jobs": jobs}, "dates": report["dates"] | {"gpu": "2026-01-02"}})
    section = text[text.index("## On a GPU") :]
    assert "one A GPU and 16 cores" in section and "jax 0.11.2" in section and "2026-01-02" in section
    assert "n_envs 1" in section and "batch_size 4096" in section
    assert "| rlzoo jax | 4,000 (3,000–5,000) | 3 | 4.00 | 3.2 |" in section
    assert "| rlzoo torch | failed: no such device | | | |" in section
    assert "| sb3 | 1,000 | 1 | 1.00 | 0.0 |" in section, "one measurement has no range, and noise no cost"


def test_without_one_the_page_says_so():
    report = {name: part for name, part in kept().items() if name != "gpu"}
    assert "not measured, no GPU at hand" in page(report)


def test_the_sum_tree_has_a_section_also_where_it_failed():
    rates = {"32": 0.0881, "1024": 1.5, "peak_mib": 60.0, "seconds": 2.0}  # the last two are of the process
    text = page(kept() | {"priorities": rates})
    assert "on one core: 0.09 with 32 rows a call, 1.50 with 1,024 rows a call.\n" in text
    assert "## Prioritized replay\n\nfailed: no room" in page(kept() | {"priorities": {"error": "no room"}})


def test_each_machine_has_a_page_of_its_own(monkeypatch, tmp_path):
    usual = kept()
    monkeypatch.setattr("benchmarks.speed.PAGES", tmp_path)
    assert kept("other")["jobs"] == {}
    write(usual | {"machine": usual["machine"] | {"cpu": "A slow one"}}, "other")
    assert "(A slow one)" in (tmp_path / "other.md").read_text(encoding="utf-8")
    assert kept("other")["jobs"] == usual["jobs"] and not (tmp_path / "speed.md").exists()
    assert (PAGES / "speed.md").read_text(encoding="utf-8") == page(usual)


def test_who_fails_to_solve_is_not_the_fastest(monkeypatch):
    def measured(command, any_output):
        if "torch" in command and "102" in command:
            return {"seconds": 0.5, "output": "error: backend 'torch' is not installed"}
        return {"seconds": 4.0, "output": "10,240/100,000 steps · done" if "jax" in command else "20480 steps"}

    monkeypatch.setattr("benchmarks.speed.run", measured)
    found = solving(["jax", "torch"], range(101, 104), "python")
    text = page(kept() | {"solve": found})
    assert "| jax | 4.0 | 1.00 | 4.0, 4.0, 4.0 | 10,240, 10,240, 10,240 |" in text
    assert "| torch | failed: seed 102 did not end | | | |" in text
    assert "| jax | 4.0 |  | 4.0" in page(kept() | {"solve": found | {"sb3": {"error": "no such file"}}})


def test_a_worker_sees_the_path_it_is_given(monkeypatch, tmp_path):
    (tmp_path / "found_here.py").write_text("", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    import sys

    measured = run([sys.executable, "-c", "import benchmarks, found_here; print('{\"good\": 1}')"])
    assert measured["good"] == 1 and measured["seconds"] > 0
