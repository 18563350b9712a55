"""The one exception a user is meant to read."""

from __future__ import annotations


class StudioError(Exception):
    """A problem the user can mend.

    `what` says what happened to which thing, in plain words; `hint` gives one next step.
    Anything else that is raised is a bug and reaches the exception hook.
    """

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(f"{what} {hint}".strip())
        self.what = what
        self.hint = hint
