"""Problem types, and the exceptions that end a request with one of them."""

from . import problem_types  # noqa: F401  the import registers them
from .catalogue import (
    PROBLEM_TYPES,
    ProblemType,
    code_for_status,
    problem_details,
    register,
    status_phrase,
)
from .exceptions import (
    ApiError,
    BadRequest,
    Conflict,
    ContentTooLarge,
    ErrorDetail,
    Forbidden,
    NotAcceptable,
    NotFound,
    PreconditionFailed,
    PreconditionRequired,
    RateLimited,
    RetryRequest,
    ServiceUnavailable,
    Unauthorized,
    UnprocessableContent,
    UnsupportedMediaType,
)

__all__ = [
    "PROBLEM_TYPES",
    "ApiError",
    "BadRequest",
    "Conflict",
    "ContentTooLarge",
    "ErrorDetail",
    "Forbidden",
    "NotAcceptable",
    "NotFound",
    "PreconditionFailed",
    "PreconditionRequired",
    "ProblemType",
    "RateLimited",
    "RetryRequest",
    "ServiceUnavailable",
    "Unauthorized",
    "UnprocessableContent",
    "UnsupportedMediaType",
    "code_for_status",
    "problem_details",
    "register",
    "status_phrase",
]
