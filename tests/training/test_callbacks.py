"""Callbacks: counted in environment steps, told in order, and told of the end whatever ends it."""

from __future__ import annotations

import csv
import io
import json
from contextlib import nullcontext

import gymnasium as gym
import numpy as np
import pytest
from counting import Counting
from engines import require
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tiny_agents import make

from rlzoo import PPO, UserError
from rlzoo.training import acting
from rlzoo.training.callbacks import Callback, Evaluate, Every, StopTraining
from rlzoo.training.loggers import CSVLogger, TensorBoardLogger
from rlzoo.training.progress import ProgressLine
from rlzoo.training.run import Run

require("torch")


class Diary(Callback):
    """(event, steps) of everything it is told."""

    def __init__(self):
        self.events = []

    def on_start(self, agent):
        self.events.append(("start", agent.steps))

    def on_log(self, agent, record):
        assert record["steps"] == agent.steps
        self.events.append(("log", agent.steps))

    def on_steps(self, agent):
        self.events.append(("steps", agent.steps))

    def on_checkpoint(self, agent):
        self.events.append(("checkpoint", agent.steps))

    def on_end(self, agent):
        self.events.append(("end", agent.steps))


class Raises(Callback):
    """Raises at an event from this step on."""

    def __init__(self, event, error, at=0):
        self.error, self.at = error, at
        setattr(self, event, self.throw)

    def throw(self, agent, *arguments):
        if agent.steps >= self.at:
            raise self.error


def agent_of(**changes):
    return make("dqn", "torch", **{"hidden": (4,), "normalize_reward": False, "learning_starts": 1, **changes})


def test_the_order_of_events():
    diary = Diary()
    agent_of(steps=50, checkpoint_every=25).learn(callbacks=[diary])
    assert diary.events == [
        ("start", 0), ("steps", 10), ("steps", 20),
        ("log", 30), ("steps", 30), ("checkpoint", 30), ("steps", 40),
        ("log", 50), ("steps", 50), ("checkpoint", 50), ("end", 50),
    ]  # fmt: skip


def test_rows_come_every_thousand_steps_between_checkpoints():
    diary = Diary()
    agent_of(steps=2500, checkpoint_every=2500, learning_starts=1700).learn(callbacks=[diary])
    assert [steps for event, steps in diary.events if event == "log"] == [2000, 2500]  # none before there are metrics


def test_checkpoints_are_a_tenth_of_the_whole_apart_by_default():
    """And no closer than the longest episodes, which would never be finished: two CartPoles have 500 steps each."""
    diary = Diary()
    agent_of(steps=1200, checkpoint_every=0, learning_starts=1200).learn(callbacks=[diary])
    assert [steps for event, steps in diary.events if event == "checkpoint"] == [1000, 1200]


@pytest.mark.parametrize("env, overlap, expected", [
    (Counting(30), False, [40, 80, 120, 160, 200]),
    (Counting(30), True, [30, 60, 90, 120, 150, 180, 200]),  # a phase begins with its rollout at hand
    (Counting(1), False, list(range(20, 201, 20))),
    (Counting(10_000), False, [50, 100, 150, 200]),
    (gym.wrappers.TimeLimit(Counting(10_000), 60), False, [60, 120, 180, 200]),
])  # fmt: skip
def test_where_the_limit_is_unknown_checkpoints_wait_until_episodes_were_finished(env, overlap, expected, monkeypatch):
    """In phases of ten steps, before which they end; those that never do, for as long as the longest of any."""
    monkeypatch.setattr("rlzoo.training.agent.LONGEST", 50)
    diary, endless = Diary(), isinstance(env, Counting) and env.length == 10_000
    agent = PPO(env, backend="jax", n_steps=10, batch_size=10, hidden=(4,), overlap=overlap)
    with pytest.warns(match="an episode did not end in 50 steps") if endless else nullcontext():
        agent.learn(200, callbacks=[diary])
    assert [steps for event, steps in diary.events if event == "checkpoint"] == expected


def test_every_counts_environment_steps():
    seen = []
    agent = agent_of(n_envs=3, train_freq=2).learn(30, callbacks=[Every(10, lambda agent: seen.append(agent.steps))])
    assert seen == [12, 24, 30]  # six steps a phase, so at the first phase past 10, 20 and 30
    agent.learn(30, callbacks=[Every(25, lambda agent: seen.append(agent.steps))])
    assert seen[3:] == [54]  # past 50; the one at 25 lies behind


@pytest.mark.parametrize("steps", [0, -5, 1.5, float("nan"), "x", True])
def test_every_needs_a_positive_number(steps):
    with pytest.raises(UserError, match="at least 1"):
        Every(steps, print)
    assert Every(1e4, print).steps == 10_000


@pytest.mark.parametrize("make", [
    lambda: Every(5, None), lambda: Evaluate(5, episodes=0), lambda: Evaluate(5, stop_at="x"),
    lambda: Evaluate(5, stop_at=float("nan")),
])  # fmt: skip
def test_callbacks_that_could_not_do_their_work_are_refused(make):
    with pytest.raises(UserError, match=r"is not valid: it must (be|take) "):
        make()


def test_evaluate_logs_and_stops_at_its_threshold():
    class Rows(Callback):
        def __init__(self):
            self.rows = []

        def on_log(self, agent, record):
            self.rows.append(record)

    rows, diary = Rows(), Diary()
    evaluate = Evaluate(20, episodes=3)
    assert evaluate.last is None
    agent_of(steps=60).learn(callbacks=[evaluate, rows])
    assert evaluate.last.mean_return == rows.rows[-1]["evaluation_return"]
    evaluated = [row for row in rows.rows if "evaluation_return" in row]
    assert [row["steps"] for row in evaluated] == [20, 40, 60]
    assert all(8 <= row["evaluation_return"] <= 500 for row in evaluated)  # CartPole pays a step, and falls in eight
    stopped = agent_of(steps=60).learn(callbacks=[Evaluate(20, episodes=3, stop_at=8.0), diary])
    assert stopped.steps == 20
    never = agent_of(steps=60).learn(callbacks=[Evaluate(20, episodes=3, stop_at=501.0)])
    assert never.steps == 60


def test_evaluate_plays_episodes_as_long_as_it_is_told():
    agent = PPO(Counting(100), backend="torch", n_steps=8, batch_size=8, n_epochs=1, hidden=(4,))
    evaluate = Evaluate(8, episodes=1, longest=5)
    with pytest.warns(match="1 of 1 episodes were cut off at 5 steps"):
        agent.learn(8, callbacks=[evaluate])
    assert evaluate.last.lengths == (5,) and evaluate.last.returns == (15.0,) and evaluate.last.cut == 1


def test_an_agent_is_not_judged_by_the_episodes_that_it_was_chosen_on(monkeypatch):
    """While it learns it always plays the same ones, and `agent.evaluate()` others."""
    agent, seeds = agent_of(steps=60), []
    play = acting.evaluate
    monkeypatch.setattr(acting, "evaluate", lambda *a: seeds.append(a[3]) or play(*a))
    agent.learn(callbacks=[Evaluate(20, episodes=1)])
    agent.evaluate(1)
    assert len(seeds) == 4 and len(set(seeds[:3])) == 1 and seeds[3] != seeds[0]


@pytest.mark.parametrize("event", ["on_log", "on_steps", "on_checkpoint"])
@pytest.mark.parametrize("steps", [30, 60])
def test_stopping_early_leaves_a_checkpoint_and_is_no_error(event, steps):
    diary = Diary()
    agent = agent_of(steps=100, checkpoint_every=60)
    agent.learn(callbacks=[diary, Raises(event, StopTraining(), steps)])
    stopped = 60 if event in ("on_log", "on_checkpoint") else steps
    assert agent.steps == stopped
    assert [told for told in diary.events if told[0] == "checkpoint"] == [("checkpoint", stopped)]
    assert diary.events[-1] == ("end", stopped)
    assert agent.learn().steps == 100


def test_stopping_at_the_end_is_no_error():
    first, last = Diary(), Diary()
    assert agent_of(steps=20).learn(callbacks=[first, Raises("on_end", StopTraining()), last]).steps == 20
    assert first.events[-1] == last.events[-1] == ("end", 20)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a bug"), UserError("a mistake")])
@pytest.mark.parametrize("event", ["on_steps", "on_checkpoint"])
def test_the_end_is_told_whatever_ends_it(event, error):
    diary = Diary()
    agent = agent_of()
    with pytest.raises(type(error)):
        agent.learn(callbacks=[diary, Raises(event, error)])
    assert [event for event, _ in diary.events].count("end") == 1 and diary.events[-1][0] == "end"
    agent.log({})
    assert diary.events[-1][0] == "end"  # it is told nothing afterwards


def test_those_that_began_are_told_of_the_end_whatever_others_do():
    first, last = Diary(), Diary()
    agent = agent_of(steps=20).learn(callbacks=[first, Raises("on_start", StopTraining()), last])
    assert (first.events, last.events, agent.steps) == ([("start", 0), ("end", 0)], [], 0)
    with pytest.raises(RuntimeError, match="a bug"):
        agent.learn(callbacks=[first, Raises("on_end", RuntimeError("a bug")), last])
    assert first.events[-1] == last.events[-1] == ("end", 20)


@pytest.mark.parametrize("callbacks", [Diary(), [print], (Diary(), "every")])
def test_what_is_no_list_of_callbacks(callbacks):
    with pytest.raises(UserError, match=r"callback .* is not valid: callbacks must be a list of Callback"):
        agent_of().learn(callbacks=callbacks)


def test_a_mistake_leaves_the_budget_as_it_was():
    agent = agent_of(steps=60)
    with pytest.raises(UserError):
        agent.learn(20, callbacks=[print])
    assert agent.learn().steps == 60


@pytest.mark.parametrize("kind", ["ppo", "dqn", "sac"])
def test_interrupted_in_the_middle_of_a_step_an_agent_is_still_good(kind, tmp_path, monkeypatch):
    agent = make(kind, "torch").learn(20)
    step, calls = agent.vector_env.step, []

    def interrupted(action):
        calls.append(action)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return step(action)

    with monkeypatch.context() as patch:
        patch.setattr(agent.vector_env, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            agent.learn()
    resets = []
    reset = agent.collector.reset
    monkeypatch.setattr(agent.collector, "reset", lambda seed: (resets.append(seed), reset(seed)))
    steps = agent.steps
    assert len(agent.evaluate(2).returns) == 2
    agent.save(tmp_path / "kept")
    assert agent.learn(20).steps == steps + 20
    assert len(resets) >= 1  # the episodes under way when it was interrupted are given up


def test_a_line_that_nobody_reads_any_more_stops_nothing():
    class Closed(io.StringIO):
        calls = 0

        def write(self, text):
            self.calls += 1
            raise BrokenPipeError

    stream = Closed()
    line = ProgressLine(stream)
    agent = agent_of(steps=20).learn(callbacks=[line])
    line.on_end(agent)
    assert agent.steps == 20 and stream.calls == 1


@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_line_is_printed_where_the_encoding_has_not_all_of_it(is_terminal, monkeypatch):
    class Stream(io.TextIOWrapper):
        def isatty(self):
            return is_terminal

    monkeypatch.setenv("TERM", "xterm")
    stream = Stream(io.BytesIO(), "ascii")
    assert agent_of(steps=20).learn(callbacks=[ProgressLine(stream)]).steps == 20
    stream.flush()
    assert b"20/20 steps ? " in stream.buffer.getvalue()


def test_a_line_is_written_to_what_can_only_write(monkeypatch):
    class Log:
        def __init__(self):
            self.text = ""

        def write(self, text):
            self.text += text

        def flush(self):
            pass

    log = Log()
    monkeypatch.setattr("sys.stdout", log)
    agent_of(steps=20).learn(progress=True)
    assert log.text.startswith("20/20 steps · ")


def test_a_resumed_csv_loses_the_rows_after_its_checkpoint_and_goes_on(tmp_path):
    path = tmp_path / "metrics.csv"

    def rows():
        with open(path, newline="") as file:
            return [(row["steps"], row["loss"]) for row in csv.DictReader(file)]

    first = CSVLogger(path, ["steps", "loss"], 0)
    for steps in (10, 20, 30):
        first.write({"steps": steps, "loss": steps / 8, "unknown": 1.0})
    first.close()
    with open(path, "a") as file:
        file.write("40,0.")  # a row that a killed run was writing
    second = CSVLogger(path, ["loss", "steps", "new"], 20)  # the file's own columns stay
    assert rows() == [("10", "1.25"), ("20", "2.5")]
    second.write({"steps": 30, "loss": 9.0, "new": 1.0})
    second.close()
    assert rows() == [("10", "1.25"), ("20", "2.5"), ("30", "9")]
    assert path.read_text().count("steps") == 1


def test_a_csv_gets_a_column_of_success_when_it_is_first_told_of(tmp_path):
    path = tmp_path / "metrics.csv"
    logger = CSVLogger(path, ["steps", "loss"], 0)
    logger.write({"steps": 10, "loss": 0.5})
    assert path.read_bytes() == b"steps,loss\r\n10,0.5\r\n"
    logger.write({"steps": 20, "success_rate": 0.25, "loss": 1.0, "unknown": 1.0})
    logger.write({"steps": 30, "loss": 2.0})
    logger.close()
    again = CSVLogger(path, ["steps", "loss"], 30)
    again.write({"steps": 40, "loss": 3.0, "evaluation_success_rate": 1.0, "success_rate": 0.5})
    again.close()
    assert path.read_text().splitlines() == [
        "steps,loss,success_rate,evaluation_success_rate", "10,0.5,,", "20,1,0.25,", "30,2,,", "40,3,0.5,1",
    ]  # fmt: skip
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.csv"]


def test_tensorboard_groups_the_shares_of_time_and_names_all_else_as_it_is_named(tmp_path):
    logger = TensorBoardLogger(tmp_path / "tensorboard", 0)
    logger.write({"steps": 1, "time_env": 0.5, "lap_time_best": 2.0, "time_to_goal": 3.0})
    logger.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert events.Tags()["tensors"] == ["time/env", "lap_time_best", "time_to_goal"]


def test_metrics_that_have_no_name_are_said_to_have_none(monkeypatch):
    agent = agent_of()
    monkeypatch.setattr(type(agent), "metrics", ("loss", "value"))
    with pytest.raises(UserError, match=r"dqn reports 3 metrics, and names \('loss', 'value'\)"):
        agent.learn(60)


def test_what_a_callback_logs_has_a_column_of_its_own():
    class Profit(Callback):
        columns = ("profit",)
        seen = ()

        def on_start(self, agent):
            self.seen = agent.columns()

    profit = Profit()
    agent_of(steps=20).learn(callbacks=[profit])
    assert profit.seen[-1] == "profit"


@pytest.mark.parametrize("columns", ["profit", ("a,b",), ('a"b',), ("",), ("profit", 3), None])
def test_names_that_no_csv_can_have_are_refused_before_training(columns):
    agent, callback = agent_of(), Callback()
    callback.columns = columns
    with pytest.raises(UserError, match=r"^columns = .* of Callback is not valid: it must be a tuple of names"):
        agent.learn(20, callbacks=[callback])
    assert agent.steps == 0


def test_a_column_that_several_give_is_there_once():
    callbacks = [Callback(), Callback()]
    for callback in callbacks:
        callback.columns = ("profit", "steps")
    agent = agent_of()
    agent._callbacks = callbacks
    assert agent.columns().count("profit") == agent.columns().count("steps") == 1


@pytest.mark.parametrize("value, logged", [
    (np.float32(0.5), 0.5), (np.array(2), 2.0), (True, 1.0), (7, 7), (None, None), ("good", None), (np.ones(2), None),
])  # fmt: skip
def test_what_is_logged_is_a_number(value, logged):
    rows = []

    class Rows(Callback):
        def on_log(self, agent, record):
            rows.append(record)

    agent = agent_of()
    agent._callbacks = [Rows()]
    if logged is None:
        with pytest.raises(UserError, match=r"^profit = .* is not valid: it must be a number$"):
            agent.log({"profit": value})
    else:
        agent.log({"profit": value})
        assert rows[0]["profit"] == logged and type(rows[0]["profit"]) is type(logged)


def test_a_run_keeps_numbers_of_numpy_and_paths(tmp_path):
    options = {"eval_every": np.int64(500), "stop_at": np.float32(0.5), "data": tmp_path / "行情.csv"}
    run = Run.create(tmp_path / "run", agent_of(), [tmp_path / "mine.py"], **options)
    assert Run.open(run.folder).option("eval_every") == 500 and run.option("stop_at") == 0.5
    found = json.loads((run.folder / "run.json").read_text(encoding="utf-8"))
    assert found["command"] == [str(tmp_path / "mine.py")] and found["options"]["data"] == str(options["data"])


def test_a_run_is_of_one_agent(tmp_path):
    """A new one in its folder would take the place of the first one's rows and checkpoints."""
    agent = agent_of()
    with Run.create(tmp_path / "run", agent, []) as run:
        agent.learn(20, callbacks=[run])
        before = (run.folder / "metrics.csv").read_bytes()
        with pytest.raises(UserError, match=r"run has step_0*20, and this agent begins at 0 steps: "):
            agent_of().learn(20, callbacks=[run])
        assert (run.folder / "metrics.csv").read_bytes() == before
        agent.learn(20, callbacks=[run])
    assert run.latest_checkpoint().name == "step_000000000040"
    with pytest.raises(UserError, match=r"is not empty: .* by --resume, in Python by load and Run\.open$"):
        Run.create(tmp_path / "run", agent, [])  # as a cell that is run again does


@pytest.mark.parametrize("settings", [{}, {"overlap": True}])
def test_an_agent_that_learns_is_not_told_to_learn(settings):
    class Nested(Callback):
        def on_steps(self, agent):
            with pytest.raises(UserError, match="is learning already"):
                agent.learn(10)

    agent = make("ppo", "torch", **settings) if settings else agent_of()
    assert agent.learn(20, callbacks=[Nested()]).steps == agent.total_steps == 20
    assert agent.learn(20).steps == 40


def test_what_acts_is_the_engines_and_not_to_be_written():
    agent = agent_of()
    with pytest.raises(ValueError, match="read-only"):
        agent.flat[:] = 0.0


@pytest.mark.parametrize("event", ["on_log", "on_steps", "on_checkpoint"])
def test_one_that_stops_keeps_nothing_from_those_after_it(event):
    diary = Diary()
    agent = agent_of(steps=3000, checkpoint_every=1000, learning_starts=100)
    agent.learn(callbacks=[Raises(event, StopTraining, 1000), diary])
    told = [name for name, steps in diary.events if steps == 1000]
    assert "log" in told and told.count("checkpoint") == 1 and max(steps for _, steps in diary.events) == 1000


def test_the_budget_is_learned_to_its_end_also_in_stages():
    agent = PPO(Counting(), backend="jax", n_steps=8, batch_size=8, hidden=(4,), steps=80)
    assert [agent.learn(steps).steps for steps in (16, 24, None, None)] == [16, 40, 80, 160]


@pytest.mark.filterwarnings("error")
def test_to_stop_early_is_not_taken_for_an_episode_that_does_not_end():
    agent = PPO(Counting(10_000), backend="jax", n_steps=8, batch_size=8, hidden=(4,))
    assert agent.learn(80, callbacks=[Raises("on_steps", StopTraining, 16)]).steps == 16


def test_a_line_is_printed_once(monkeypatch):
    monkeypatch.setattr("rlzoo.training.progress.PLAIN_EVERY", 0.0)
    stream = io.StringIO()
    agent_of(steps=20).learn(callbacks=[ProgressLine(stream)])
    lines = [line.partition(" ")[0] for line in stream.getvalue().splitlines()]
    assert lines[-1] == "20/20" and len({*lines}) == len(lines) > 1
