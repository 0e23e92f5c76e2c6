"""One TCP connection to a judged address within a deadline, and what it means when there is none."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from healthchecks.addresses import Pinned
from healthchecks.base import Answer
from healthchecks.deadline import Deadline


class NoConnection(Exception):
    """`answer` is fail where the other side refused, unknown where nobody can say."""

    def __init__(self, answer: Answer, why: str) -> None:
        super().__init__(why)
        self.answer = answer


def connect(places: Sequence[Pinned], deadline: Deadline) -> socket.socket:
    """A connection to the first of a name's places that takes one; the caller closes it. Raises NoConnection."""
    problem = NoConnection("unknown", "there is no address")
    for at in places:
        if not deadline.left:
            raise NoConnection("unknown", "no time was left to connect")
        try:
            connection = socket.create_connection((str(at.address), at.port), timeout=deadline.left)
        except ConnectionRefusedError:
            problem = NoConnection("fail", "refused the connection")
        except TimeoutError:
            problem = NoConnection("unknown", "did not take the connection in time")
        except OSError as error:
            problem = NoConnection("unknown", f"could not be reached ({type(error).__name__})")
        else:
            deadline.hold(connection)
            return connection
    raise problem
