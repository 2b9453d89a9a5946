"""Operations that take no body: whoever sends one anyway learns that nobody reads it."""

import pytest

from tests.factories import make_coupon, make_order, make_user

JSON = "application/json"


@pytest.fixture(params=["pay", "cancel", "anonymise", "redemptions"])
def post(request, client):
    """Return what posts to one of them."""
    paths = {
        "pay": lambda: f"orders/{make_order().pk}/pay",
        "cancel": lambda: f"orders/{make_order().pk}/cancel",
        "anonymise": lambda: f"users/{make_user().pk}/anonymise",
        "redemptions": lambda: f"coupons/{make_coupon().pk}/redemptions",
    }
    path = f"/api/v2/{paths[request.param]()}"
    return lambda body, kind=JSON: client.post(path, data=body, content_type=kind)


@pytest.mark.parametrize("body", ["", "{}"])
def test_nothing_may_be_said(post, body):
    assert post(body).status_code in (200, 201)


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        ("{", JSON, 400, "malformed-request"),
        ("x" * (1024 * 1024 + 1), JSON, 413, "content-too-large"),
        ("{}", "text/plain", 415, "unsupported-media-type"),
        ("[]", JSON, 422, "wrong-type"),
        ('{"status": "paid"}', JSON, 422, "unknown-field"),
    ],
)
def test_whatever_is_said_is_refused(post, body, kind, status, code):
    answer = post(body, kind)
    assert (answer.status_code, answer.json["code"]) == (status, code), answer.text
