"""A run that may be a stranger's: what is in it is read to its end, and to go on with it changes nothing elsewhere."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from command_line import python

from rlzoo.training.loggers import CSVLogger

LATEST, EARLIER = "checkpoints/step_000000002048", "checkpoints/step_000000001792"
RESUME = ["train", "--resume", "run", "--steps", 256, "--quiet"]
MINE = "steps,seconds\n9999,5\n"

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes among its files")


def refused(outcome, *told):
    """Assert exit status 2 and one line on stderr that begins with these words, and what else follows."""
    assert (outcome.status, outcome.out) == (2, ""), outcome
    line, *notes = outcome.err.splitlines()
    assert line.startswith("error: ") and all(note.startswith("stopped at step ") for note in notes)
    for part in told:
        assert part in line


@pytest.mark.parametrize("name", ["metrics.csv", ".run.json.writing", "tensorboard/.probe", ".lock"])
@pytest.mark.parametrize("there", [True, False])
def test_nothing_is_written_where_a_link_leads(rlzoo, trained, name, there):
    mine = trained.with_name("mine")
    if there:
        mine.write_text(MINE)
    (trained / name).unlink(missing_ok=True)
    (trained / name).symlink_to(mine)
    refused(rlzoo(*RESUME), f"cannot write run/{name} (it is no file of its own)")
    assert mine.exists() == there and (not there or mine.read_text() == MINE)


def test_a_new_column_is_not_written_where_a_link_leads(tmp_path):
    (tmp_path / "mine").write_text(MINE)
    (tmp_path / ".metrics.csv.writing").symlink_to(tmp_path / "mine")
    logger = CSVLogger(tmp_path / "metrics.csv", ["steps"], 0)
    with pytest.raises(OSError, match="it is no file of its own"):
        logger.write({"steps": 1, "success_rate": 1.0})
    assert (tmp_path / "mine").read_text() == MINE


def test_an_empty_folder_elsewhere_stays(rlzoo, trained):
    (trained.parent / "mine").mkdir()
    (trained / "checkpoints/step_000000002304").symlink_to(trained.parent / "mine")
    refused(rlzoo(*RESUME), "step_000000002304 exists and is not a checkpoint")
    assert (trained.parent / "mine").is_dir()


# ---- in processes of their own, for what waits for ever cannot be told to stop ---------------------------------------
def in_time(trained, *words):
    """What a command did, which must end."""
    process = python("-m", "rlzoo", *words, cwd=trained.parent)
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    return SimpleNamespace(status=process.returncode, out=out, err=err)


def put(kind, path):
    """A pipe, or a link to what has no end, in the place of a file."""
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_arrays_without_an_end(trained, kind):
    put(kind, trained / EARLIER / "arrays.safetensors")  # which is looked at where the latest is damaged
    (trained / LATEST / "arrays.safetensors").write_bytes(b"cut")
    refused(in_time(trained, "evaluate", "run"), f"{LATEST}/arrays.safetensors is truncated or damaged", "one; if you")
    put(kind, trained / LATEST / "arrays.safetensors")
    refused(in_time(trained, "evaluate", "run"), f"{LATEST}/arrays.safetensors is truncated or damaged (it is no file)")


@pytest.mark.parametrize("name", ["metrics.csv", ".run.json.writing", ".lock"])
def test_a_pipe_in_the_place_of_what_is_written(trained, name):
    put("pipe", trained / name)
    refused(in_time(trained, *RESUME), f"cannot write run/{name} (it is no file of its own)")
