"""The exceptions: the problem type and the extension members that they have."""

import pytest

from alchemist import errors


def make_errors(count):
    return [
        {"pointer": f"#/{number}", "code": "required", "detail": "x"} for number in range(count)
    ]


def test_errors_of_one_code_have_that_code():
    details = [{"pointer": "#/a", "code": "not-nullable", "detail": "x"}] * 2
    assert errors.UnprocessableContent.from_errors(details).problem_type.code == "not-nullable"
    mixed = [*details, {"pointer": "#/b", "code": "required", "detail": "x"}]
    assert errors.UnprocessableContent.from_errors(mixed).problem_type.code == "invalid"


def test_up_to_100_errors_are_listed():
    error = errors.UnprocessableContent.from_errors(make_errors(100))
    assert len(error.errors) == 100
    assert error.detail == "100 values of the request are invalid."
    assert error.extensions == {}


@pytest.mark.parametrize("count", [101, 250])
def test_of_more_than_100_errors_the_others_are_counted(count):
    error = errors.UnprocessableContent.from_errors(make_errors(count))
    assert error.errors == make_errors(100)
    assert error.extensions == {"unlisted_errors": count - 100}
    assert error.detail == (
        f"{count} values of the request are invalid. Only the first 100 are listed."
    )
