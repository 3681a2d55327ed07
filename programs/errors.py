"""Every error that RANTS raises on purpose, drawn in one place.

    RantsError
    ├── UserError                  the caller can fix it by asking differently
    │   ├── InvalidRequest         a field is missing, of the wrong type or not supported
    │   │   └── ContextTooLong     the conversation does not fit the model's window
    │   ├── NotFound               no such model, response or session
    │   ├── NotAuthenticated       no key, or one that is not known
    │   │   └── KeyExpired         it was known until some time ago
    │   ├── Forbidden              it may not be asked from there, whoever asks
    │   ├── RateLimited            the tenant's bucket is empty; says when to come back
    │   └── QuotaSpent             the key's budget of the day is; says when the next one begins
    ├── BackendError               a model did not answer as it should; the caller can only try again
    │   ├── BackendUnavailable     refused, unreachable, overloaded, answering with a 5xx, or left alone for a while
    │   ├── BackendTimeout         silent for longer than allowed
    │   ├── BackendRejected        it refused the request itself (wrong key, unknown model, bad parameter)
    │   └── BadReply               it answered, but not in the protocol, or the stream was cut
    ├── ToolFailed                 a gateway tool could not do what a call asks; the model reads why
    ├── BudgetSpent                the run may spend no more; the loop turns it into the end of the run
    ├── Overloaded                 this process has as much to do as it can take on; says when to come back
    ├── StoreError                 the database is full, locked, read-only or out of reach
    ├── LeaseLost                  another process has taken over the run, so this one writes no more of it
    └── ConfigurationError         the operator can fix it: a key, a file, a missing model

Anything else that escapes is a bug of ours. Nothing here knows HTTP: `server.errors` says which status each one gets.
"""

from __future__ import annotations


class RantsError(Exception):
    """Base of the family. `str(error)` is a sentence for the person who reads it."""


class UserError(RantsError):
    """The request cannot be served as it stands."""


class InvalidRequest(UserError):
    """A field of the request is wrong.

    Args:
        message: what is wrong and how to mend it.
        param: the field's path, as the client wrote it (`messages[0].content`), or None.
        code: a short machine-readable reason, or None.
    """

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class ContextTooLong(InvalidRequest):
    """The conversation is longer than the generator's window."""

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message, param=param, code="context_length_exceeded")


class NotFound(UserError):
    """What the request names does not exist, or belongs to another tenant."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class NotAuthenticated(UserError):
    """No key was sent, or one that is not known."""


class KeyExpired(NotAuthenticated):
    """The key was good until some time ago."""


class Forbidden(UserError):
    """The request comes from where it may not come from."""


class RateLimited(UserError):
    """The tenant has spent its share.

    Args:
        message: what it has too little of.
        retry_after: seconds until it has enough.
        what: of which it has too little: `requests` or `tokens`.
    """

    def __init__(self, message: str, *, retry_after: float, what: str = "requests") -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.what = what


class QuotaSpent(UserError):
    """The key has spent its calls or tokens of the day; `retry_after` is in seconds, until midnight UTC."""

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class BackendError(RantsError):
    """A backend did not answer as it should. `backend` is the name it has in the configuration."""

    def __init__(self, message: str, *, backend: str) -> None:
        super().__init__(message)
        self.backend = backend


class BackendUnavailable(BackendError):
    """Refused, unreachable, overloaded, failing, or left alone because it failed again and again.

    `retry_after` is in seconds: the backend's own wish, or for how long it is left alone; None where nobody knows.
    """

    def __init__(self, message: str, *, backend: str, retry_after: float | None = None) -> None:
        super().__init__(message, backend=backend)
        self.retry_after = retry_after


class BackendTimeout(BackendError):
    """The backend was silent for longer than `resilience` allows."""


class BackendRejected(BackendError):
    """The backend refused the request itself; repeating it would not help."""


class BadReply(BackendError):
    """The backend's answer broke the protocol or was cut off in the middle."""


class ToolFailed(RantsError):
    """A gateway tool could not do what a call asks. It becomes the call's result, in words that help a model go on."""


class BudgetSpent(RantsError):
    """A part of the run's budget is spent.

    Args:
        what: which part, as `RunDone.reason` tells it: `budget_seconds`, `budget_model_calls`, `budget_tokens`,
            `budget_iterations`.
        message: the sentence for the model, or the person, who wanted more.
    """

    def __init__(self, message: str, *, what: str) -> None:
        super().__init__(message)
        self.what = what


class Overloaded(RantsError):
    """There is no room for one run more. `retry_after` is in seconds."""

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StoreError(RantsError):
    """The database could not be read or written; nothing was half-written."""


class LeaseLost(RantsError):
    """Another process has taken over the run. What this one wanted to write of it was not written."""


class ConfigurationError(RantsError):
    """The configuration names something that cannot be used; the message says what to change."""
