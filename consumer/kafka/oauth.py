"""OAUTHBEARER with a function of yours that gives the tokens."""

import importlib
import time
from collections.abc import Callable

import structlog

from consumer.errors import ReaderError
from consumer.settings_parsing import SettingsError
from consumer.telemetry.logs import frames_of

log = structlog.get_logger()

Token = tuple[str, float]
"""The token, and when it expires, in seconds since 1970."""

LONGEST_LIFE_S = 10 * 365 * 86_400
"""What seems to live longer is an expiry in milliseconds: its token would never be refreshed."""


class OAuthHookError(ReaderError):
    """The hook gave no token that can be used; the message names the hook, never the token."""


def oauth_callback(hook: str) -> Callable[[str | None], Token]:
    """Make of `hook`, a `module:function`, what confluent-kafka takes as `oauth_cb`.

    A client calls it at once, and again when four fifths of the token's life are over, on a thread of its own; when the
    hook fails then, that is logged and the client asks again 10 s later. The first token is fetched here already: a
    client whose first token fails says so late and without the reason.

    Raises `SettingsError` when the hook cannot be imported, `OAuthHookError` when it gives no token.
    """
    function = _imported(hook)
    first = [_token(hook, function)]

    def callback(_config: str | None) -> Token:
        return first.pop() if first else _token(hook, function)

    return callback


def _imported(hook: str) -> Callable[[], object]:
    module, _, name = hook.partition(":")
    try:
        function: object = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"KAFKA_SASL_OAUTH_HOOK={hook} cannot be imported, because there is no module {error.name}; install it, or "
            "add its folder to PYTHONPATH."
        ) from None
    except Exception as error:
        raise SettingsError(
            f"KAFKA_SASL_OAUTH_HOOK={hook} cannot be imported, because {module} raises {type(error).__name__}; mend it."
        ) from None
    if not callable(function):
        raise SettingsError(f"KAFKA_SASL_OAUTH_HOOK={hook}: the module has no function {name}; name one that it has.")
    return function


def _token(hook: str, function: Callable[[], object]) -> Token:
    try:
        given = function()
    except Exception as error:
        # The class and the place alone: messages of HTTP clients quote addresses, secrets and answers.
        log.error("oauth_hook_failed", hook=hook, error=type(error).__name__, frames=frames_of(error))
        raise OAuthHookError(
            f"KAFKA_SASL_OAUTH_HOOK={hook} raised {type(error).__name__}, so there is no token to log in with; check "
            "the service that it asks."
        ) from None
    now_s = time.time()
    match given:
        case (str(token), int() | float() as expires_at_s) if token and now_s < expires_at_s < now_s + LONGEST_LIFE_S:
            return token, float(expires_at_s)
    log.error("oauth_hook_failed", hook=hook, error="not a token and a time in the future")
    raise OAuthHookError(
        f"KAFKA_SASL_OAUTH_HOOK={hook} must return a tuple of the token, a string, and when it expires, in seconds "
        "(not milliseconds) since 1970 and in the future."
    )
