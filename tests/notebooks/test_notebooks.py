"""Both notebooks run from top to bottom, and show what their text says."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import nbclient
import nbformat
import numpy as np
import pytest
from engines import INSTALLED

from rlzoo import UserError

ROOT = Path(__file__).parents[2]


class Ran:
    """A notebook after it ran: what each code cell printed or showed, found by a line of its source."""

    def __init__(self, notebook):
        self.cells = [cell for cell in notebook.cells if cell.cell_type == "code"]

    def _cell(self, line):
        (cell,) = [cell for cell in self.cells if line in cell.source]
        return cell

    def text(self, line):
        """All that the cell with this line printed, and the value it ends on."""
        printed = [output.text for output in self._cell(line).outputs if output.get("name") == "stdout"]
        shown = [output.data["text/plain"] for output in self._cell(line).outputs if "data" in output]
        return "\n".join(printed + shown)

    def numbers(self, line, pattern):
        """The numbers that `pattern` captures in that text, a list for each match."""
        found = re.findall(pattern, self.text(line), re.M)
        return [[float(x) for x in (match if isinstance(match, tuple) else (match,))] for match in found]

    def pictures(self):
        return sum("image/png" in output.get("data", {}) for cell in self.cells for output in cell.outputs)


def run(name, folder):
    """Execute a notebook in a kernel of this interpreter, in an empty folder, with this checkout on its path."""
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    class ThisInterpreter(AsyncKernelManager):
        """No installed kernelspec is asked: it might name another Python."""

        @property
        def kernel_spec(self):
            command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            return KernelSpec(argv=command, display_name="this interpreter", language="python")

    notebook = nbformat.read(ROOT / "notebooks" / name, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.outputs for cell in notebook.cells if cell.cell_type == "code"), "commit it without outputs"
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    variables = {**os.environ, "PYTHONPATH": path, "IPYTHONDIR": str(folder / "ipython")}
    for name in ("MPLBACKEND", "RLZOO_BACKEND"):  # figures in the notebook, the first engine installed
        variables.pop(name, None)
    client = nbclient.NotebookClient(
        notebook, km=ThisInterpreter(), timeout=600, resources={"metadata": {"path": str(folder)}}
    )
    client.execute(env=variables, cleanup_kc=True)  # the kernel ends, its sockets close
    told = [output for cell in notebook.cells for output in cell.get("outputs", []) if output.output_type == "error"]
    assert not told, "a traceback is shown, though the cell went on"
    return Ran(notebook)


@pytest.mark.skipif(not INSTALLED, reason="no engine is installed")
def test_an_agent_in_three_lines(tmp_path):
    ran = run("an_agent_in_three_lines.ipynb", tmp_path)

    ((untrained,),) = ran.numbers('PPO("CartPole-v1", seed=0).evaluate', r"^(\d+\.\d+)$")
    assert untrained < 60
    three_lines = ran.text("progress=True")
    assert re.search(r"50,\d\d\d/50,\d\d\d steps · [\d,]+ steps/s · return \d+\.\d · done in", three_lines)
    (learned,) = ran.numbers("progress=True", r"^(\d+\.\d+)$")
    assert learned[0] >= 150, "it learned: the pole falls after some 20 steps by chance"
    published = "environment CartPole-v1 (RL Baselines3 Zoo, but n_envs and gae_lambda: tuned here on seeds 0 to 47)"
    assert f"linear(0.001, 0) {published}" in ran.text("agent.resolved.sources")
    assert "max_grad_norm  0.5              default of ppo" in ran.text("agent.resolved.sources")

    (batch,) = ran.numbers("a batch of 3", r"a batch of 3   : \[(\d) (\d) (\d)\]")
    assert batch[0] == batch[1] == batch[2] and batch[0] in (0, 1)
    ((episode_return,),) = ran.numbers("states, episode_return", r"return: (\d+\.\d)")
    assert episode_return >= 100
    ((mean,),) = ran.numbers("best, drawn", r"best action : mean (\d+\.\d),")
    assert mean == pytest.approx(learned[0], abs=0.06)
    assert "the same again: True" in ran.text("best, drawn")
    assert "seed 0 gives the same curve again: True" in ran.text("class Rows")

    last = ran.text("twin = load")
    assert "files: ['arrays.safetensors', 'manifest.json']" in last
    other = "numpy" if len(INSTALLED) == 1 else INSTALLED[1]
    assert f"{INSTALLED[0]} and {other} choose the same action on 100.0%" in last
    ((twin,),) = ran.numbers("twin = load", r"mean return of the twin: (\d+\.\d+)")
    assert twin == pytest.approx(learned[0])
    assert ran.pictures() == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cartpole", "ipython"]


@pytest.mark.skipif(not INSTALLED, reason="no engine is installed")
def test_write_a_layer_run_it_on_four_engines(tmp_path):
    ran = run("write_a_layer_run_it_on_four_engines.ipynb", tmp_path)

    assert f"installed: {', '.join(['numpy', *INSTALLED])}\n" in ran.text("engines = [")
    assert "together one flat vector of 1105 numbers, float32" in ran.text("class GatedResidual")

    row = r"^{}\s+(\S+)\s+(\S+)\s+(\S+)$"
    value = ran.numbers("def loss_and_gradient", row.format(INSTALLED[0]))[0][0]
    for name in INSTALLED:
        ((found, *apart),) = ran.numbers("def loss_and_gradient", row.format(name))
        assert found == pytest.approx(value, abs=1e-6)
        assert max(apart) < 1e-5, f"{name} computes what NumPy computes"

    for name in INSTALLED:
        ((start, end),) = ran.numbers("def train(", rf"^{name}\s+loss (\S+) → (\S+)$")
        assert start == pytest.approx(value, rel=0.5) and end < 0.01 * start, f"{name} fits the curve"
    apart = ran.numbers("semilogy", r"after 50 steps (\S+), after all (\S+)")
    assert len(apart) == len(INSTALLED) - 1
    assert all(early < 1e-4 and late < 1e-2 for early, late in apart), "one curve on all engines"

    source = ran.text("module = Module(")
    assert source.count("backend.matmul(") == 2 and "backend.sigmoid(" in source and "backend.tanh(" in source
    ((gated,),) = ran.numbers("class GatedPPO", r"^(\d+\.\d+)$")
    assert gated >= 100, "PPO learns with the layer before its networks"
    assert ran.pictures() == 1


def test_without_an_engine_the_first_cell_says_how_to_install_one(monkeypatch):
    notebook = nbformat.read(ROOT / "notebooks" / "write_a_layer_run_it_on_four_engines.ipynb", as_version=4)
    first = next(cell.source for cell in notebook.cells if cell.cell_type == "code")
    monkeypatch.setattr("rlzoo.backend.is_installed", lambda name: name == "numpy")
    monkeypatch.delenv("RLZOO_BACKEND", raising=False)
    with pytest.raises(UserError, match=r"^no engine is installed: run pip install '\.\[jax\]' in a checkout of rlzoo"):
        exec(compile(first, "notebook", "exec"), {})


def test_the_gate_opens_as_the_notebook_says():
    """At the field's −1 the gate is mostly shut; at 1 it is mostly open."""
    notebook = nbformat.read(ROOT / "notebooks" / "write_a_layer_run_it_on_four_engines.ipynb", as_version=4)
    (source,) = [cell.source for cell in notebook.cells if cell.source.startswith("class GatedResidual(Layer):")]
    (asked,) = [cell.source for cell in notebook.cells if "## Try it" in cell.source]
    layer = source.partition("\n\n\n")[0].replace("(Layer):\n", "(Layer):\n    gate_bias: float = -1.0\n\n")
    names: dict = {}
    exec("from rlzoo.backend import ops\nfrom rlzoo.nn import Layer, orthogonal, zeros\n", names)
    exec(layer.replace("zeros(size) - 1.0", "zeros(size) + self.gate_bias"), names)
    assert asked.count("`gate_bias: float = -1.0`") == 2 and asked.count("`GatedResidual(gate_bias=1.0)`") == 2
    gates = []
    for made in (names["GatedResidual"](), names["GatedResidual"](gate_bias=1.0)):
        params = made.init(np.random.default_rng(0), (4,)) | {"gate": np.zeros((4, 4))}
        x, change = np.ones((1, 4)), np.full((4, 4), 100.0)  # so large that tanh is 1
        gates.append(float((made(params | {"change": change}, x) - x)[0, 0]))
    assert gates == pytest.approx([1 / (1 + np.e), np.e / (1 + np.e)])
