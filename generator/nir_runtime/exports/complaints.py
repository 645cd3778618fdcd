"""What stands in the way of an export, as it comes up, each with its place in the network."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence

from torch import nn

from nir_runtime.errors import ExportRefused, Problem
from nir_runtime.exports.places import calling_line, raising_line
from nir_runtime.exports.signals import Signal


class Complaints:
    """The problems of one trace, and where it is.

    Attributes:
        problems: all found so far, each once, in order.
        paths: of the network's modules, by their ids.
    """

    def __init__(self, net: nn.Module, not_users: Sequence[str]) -> None:
        """Take packages whose code is not the user's, so that messages show lines of others."""
        self.problems: dict[Problem, None] = {}
        self.paths = {id(module): path for path, module in net.named_modules()}
        self._net = net
        self._not_users = not_users
        self._inside: list[str] = []
        self._failed: tuple[Exception, str] | None = None

    @contextlib.contextmanager
    def inside(self, module: nn.Module) -> Iterator[None]:
        """What comes up inside is of this module."""
        place = self.place(module)
        self._inside.append(place)
        try:
            yield
        except Exception as error:
            if self.cause is not error:
                self._failed = (error, place)
            raise
        finally:
            self._inside.pop()

    def place(self, module: nn.Module) -> str:
        """A module's path; the class for the network itself, and for what isn't part of it."""
        return self.paths.get(id(module)) or type(module).__name__

    def place_or_network(self, module: nn.Module | None) -> str:
        """A module's place; the network's for what is no module's."""
        return self.place(self._net if module is None else module)

    def current(self) -> str:
        """The place of the module that the trace is in."""
        return self._inside[-1] if self._inside else type(self._net).__name__

    def note(self, what: str, advice: str) -> None:
        """A problem with the module that the trace is in, or with the network outside of any."""
        self.problems[Problem(self.current(), what, advice)] = None

    def note_call(self, what: str, advice: str) -> None:
        """A problem with what a forward does, and the line of it."""
        self.note(f"{what} ({calling_line(self._not_users)})", advice)

    def note_mismatch(self, what: str, x: Signal) -> None:
        """A layer that doesn't take the shape it gets; unless that shape is only a guess."""
        if not x.uncertain:
            axes = len(x.leading.shape)
            before = "one axis" if axes == 1 else f"{axes} axes"
            self.note(
                what,
                f"the signal has the shape {tuple(x.shape)} here, features {x.features} behind "
                f"{before} of batch or time; check that example_input is what the network takes",
            )

    def note_error(self, what: str, error: Exception, x: Signal) -> None:
        """A layer that no node can be made of because of an error, probably about the shape."""
        self._failed = (error, self._inside[-1])
        self.note_mismatch(f"{what}: {type(error).__name__}: {error}", x)

    def take(self, problems: Iterable[Problem]) -> None:
        """Problems that name their places themselves."""
        self.problems.update(dict.fromkeys(problems))

    @property
    def cause(self) -> Exception | None:
        """The last error that came up."""
        return self._failed[0] if self._failed else None

    def refusal(self) -> ExportRefused:
        """The error to raise."""
        return ExportRefused(self.problems)

    def failure(self, error: Exception) -> ExportRefused:
        """The error to raise where a forward raised one of its own, maybe after problems."""
        if self.problems:
            return self.refusal()
        place = self._failed[1] if self._failed else type(self._net).__name__
        line = raising_line(error, self._not_users)
        return ExportRefused(
            Problem(
                place,
                f"forward raised {type(error).__name__}: {error}" + (f" ({line})" if line else ""),
                "an export runs forward with a tensor of the example_input's shape that has no "
                "numbers",
            )
        )
