"""What the service refuses, and with which HTTP status."""

from __future__ import annotations


class RefusedError(Exception):
    """A request that is answered by an error and not by a result.

    Attributes:
        status: of HTTP.
        error: the same for programs, one word.
        message: for people, one line.
        retry_after: seconds after which to try again, where that helps.
    """

    status = 400
    error = "bad_request"

    def __init__(self, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after


class NotFoundError(RefusedError):
    """No such image, upload or job."""

    status, error = 404, "not_found"


class ConflictError(RefusedError):
    """It does not go together with the present state."""

    status, error = 409, "conflict"


class TooLargeError(RefusedError):
    """More bytes or pixels than are allowed."""

    status, error = 413, "too_large"


class BadPictureError(RefusedError):
    """Not a picture, damaged, or one that takes too much to decode."""

    status, error = 422, "bad_picture"


class BusyError(RefusedError):
    """Too much at once; later it will go."""

    status, error = 429, "busy"

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message, retry_after)


class UnavailableError(RefusedError):
    """Something the service needs is not there: the network, or it is shutting down."""

    status, error = 503, "unavailable"
