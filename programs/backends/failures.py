"""Translates what a `dspy.LM` raises, ours or anyone's, into the errors of RANTS."""

from __future__ import annotations

from dspy.lm15 import LM15Error
from dspy.utils.exceptions import (
    ContextWindowExceededError,
    LMAuthError,
    LMConfigurationError,
    LMError,
    LMInvalidRequestError,
    LMRateLimitError,
    LMServerError,
    LMStreamAssemblyError,
    LMTimeoutError,
    LMTransportError,
    LMUnexpectedError,
    LMUnsupportedFeatureError,
)

from programs.errors import (
    BackendError,
    BackendRejected,
    BackendTimeout,
    BackendUnavailable,
    BadReply,
    ContextTooLong,
    RantsError,
)

_KINDS: tuple[tuple[type[LMError], type[BackendError]], ...] = (
    (LMTimeoutError, BackendTimeout),
    (LMRateLimitError, BackendUnavailable),
    (LMServerError, BackendUnavailable),
    (LMTransportError, BackendUnavailable),
    (LMStreamAssemblyError, BadReply),
    (LMAuthError, BackendRejected),
    (LMInvalidRequestError, BackendRejected),
    (LMConfigurationError, BackendRejected),
    (LMUnsupportedFeatureError, BackendRejected),
)


def said(error: LMError | LM15Error) -> str:
    """What an error says to the person who asked: lm15 appends advice for the programmer below a blank line."""
    return str(error.message).partition("\n\n")[0]


def translate(error: LMError, *, role: str) -> RantsError:
    """The error of RANTS for a failed model call.

    Raises:
        LMUnexpectedError: `error` is a bug of an engine and not the backend's doing; it is raised as it came.
    """
    message = said(error)
    if isinstance(error, ContextWindowExceededError):
        return ContextTooLong(message)
    for kind, ours in _KINDS:
        if isinstance(error, kind):
            told = f"the {role} backend: {message}"
            if ours is BackendUnavailable:
                return BackendUnavailable(told, backend=role, retry_after=error.retry_after)
            return ours(told, backend=role)
    if isinstance(error, LMUnexpectedError):
        raise error
    return BackendUnavailable(f"the {role} backend: {message}", backend=role)
