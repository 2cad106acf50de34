"""An animation of an agent at play, as a GIF, for machines without a display, for pages and notebooks."""

from __future__ import annotations

import math
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from rlzoo.errors import UserError, installing, printable

SLOWEST = 20  # milliseconds: a frame that is to be shown for less is shown for long by browsers


def check_free(path: Path) -> None:
    """Raises UserError unless a GIF can be written to this path, and nothing is there."""
    if path.suffix.lower() != ".gif":
        raise UserError(f"--gif {printable(path)} does not end in .gif: an animation is written as a GIF")
    try:
        is_there = path.exists()
    except OSError as error:  # a name that is too long, a folder one may not look into
        raise UserError(f"cannot write {printable(path)} ({error.strerror}): choose another --gif") from None
    if is_there:
        raise UserError(f"{printable(path)} is there already: choose another --gif, or remove it")
    if not path.absolute().parent.is_dir():
        raise UserError(f"there is no folder {printable(path.parent)}: make it, or choose another --gif")
    if find_spec("PIL") is None:
        raise UserError(f"an animation needs the extra 'play': {installing('play')}")


class Recording:
    """The frames of an environment that is rendered as `rgb_array`, small in memory until they are written."""

    def __init__(self, env: Any):
        self.env = env
        duration = 1000.0 / (env.metadata.get("render_fps") or 30)
        self.every = math.ceil(SLOWEST / duration)  # of the steps, those that are shown
        self.duration = self.every * duration
        self.frames: list[bytes] = []
        self.steps = 0

    def watched(self, act: Any) -> Any:
        """`act`, and a frame of what it acts on."""

        def watching(observation: Any, first: Any) -> Any:
            self.take()
            return act(observation, first)

        return watching

    def take(self) -> None:
        """Keep a frame, if this step is one that is shown."""
        from PIL import Image

        if self.steps % self.every == 0:
            (frame,) = self.env.render()
            held = BytesIO()
            Image.fromarray(np.asarray(frame, np.uint8)).quantize(128).save(held, "PNG", compress_level=1)
            self.frames.append(held.getvalue())
        self.steps += 1

    def write(self, path: Path) -> None:
        """Raises UserError where nothing can be written."""
        from PIL import Image

        first, *others = (BytesIO(frame) for frame in self.frames)
        try:
            Image.open(first).save(
                path, "GIF", save_all=True, append_images=map(Image.open, others), duration=round(self.duration), loop=0
            )
        except OSError as error:
            raise UserError(f"cannot write {printable(path)}: {error.strerror or error}") from None
