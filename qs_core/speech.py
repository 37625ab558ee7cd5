"""Standard output and error that end no run, whatever is written there, in any encoding, and whoever stops reading."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TextIO


class Unfailing:
    """A text stream that falls silent where it cannot be written to any more. Letters it lacks are shown by number."""

    def __init__(self, stream: TextIO | None):
        self.stream = stream if stream is not None else open(os.devnull, "w", encoding="utf-8")  # closed by whom we ran
        if hasattr(self.stream, "reconfigure"):
            self.stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        """As a stream's."""
        try:
            self.stream.write(text)
        except (OSError, ValueError):
            self._fall_silent()
        return len(text)

    def flush(self) -> None:
        """As a stream's."""
        try:
            self.stream.flush()
        except (OSError, ValueError):
            self._fall_silent()

    def _fall_silent(self) -> None:
        """Let what is still held, and what comes, go nowhere, so that the interpreter's own end is quiet as well."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())

    def __getattr__(self, name: str):
        return getattr(self.stream, name)


@contextlib.contextmanager
def unfailing() -> Iterator[None]:
    """Within it sys.stdout and sys.stderr are such streams."""
    with contextlib.redirect_stdout(Unfailing(sys.stdout)), contextlib.redirect_stderr(Unfailing(sys.stderr)):
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
