"""Concurrent redemptions: the counter of a coupon always matches its redemptions."""

from collections import Counter
from functools import partial

import pytest

from alchemist import database as db
from alchemist.cli import verify
from alchemist.domains.users import auth
from tests.concurrency import Client, codes, run_concurrently
from tests.factories import make_coupon, make_product, make_user, sign_in

pytestmark = pytest.mark.slow


@pytest.fixture
def client(shared_gunicorn):
    with Client(shared_gunicorn) as client:
        yield client


@pytest.fixture
def consistent(module_database):
    """Fail the test if `verify` finds an inconsistency after it."""
    yield
    assert [verdict for verdict in verify.evaluate_all(module_database) if not verdict.passed] == []


def redemption(coupon):
    return lambda client: client.post(f"coupons/{coupon['pk']}/redemptions")


def test_five_thousand_requests_redeem_a_thousand_uses(shared_gunicorn, client, consistent):
    coupon = client.create("coupons", code="Rush", init_count=1500, remaining_count=1000)
    answers = run_concurrently(shared_gunicorn, [redemption(coupon)] * 5000)
    assert Counter(answer.status for answer in answers) == {201: 1000, 409: 4000}
    assert sum(answer.repeated for answer in answers) < 50
    rejections = [codes(answer) for answer in answers if answer.status == 409]
    assert rejections == [{"coupon-exhausted"}] * 4000
    assert client.get(f"coupons/{coupon['pk']}")["remaining_count"] == 0


def test_changing_init_count_loses_no_concurrent_redemption(shared_gunicorn, client, consistent):
    coupon = client.create("coupons", code="Moving", init_count=100)
    url = f"coupons/{coupon['pk']}"
    changes = [partial(Client.patch, path=url, body={"init_count": n}) for n in range(101, 151)]
    jobs = [job for change in changes for job in (change, *[redemption(coupon)] * 4)]
    answers = run_concurrently(shared_gunicorn, [*jobs, *[redemption(coupon)] * 50])
    assert {answer.status for answer in answers} <= {200, 201, 409}
    coupon = client.get(url)
    redeemed = sum(answer.status == 201 for answer in answers)
    assert coupon["remaining_count"] == coupon["init_count"] - redeemed
    assert redeemed >= 100


def test_the_limit_per_user_applies_to_concurrent_requests(make_committing_app, gunicorn_with_auth):
    app = make_committing_app(open_access=False)
    auth._token_cache.clear()
    with app.app_context():
        users = [sign_in(make_user()) for _ in "ab"]
        coupon, product = make_coupon(init_count=500, per_user_limit=7), make_product()
        url, code, product_id = f"coupons/{coupon.pk}/redemptions", coupon.code, str(product.pk)
        db.session.commit()
        database = app.extensions["engines"].transaction.url
    order = {"items": [{"product_id": product_id, "quantity": 1}], "coupon_code": code}
    jobs = [
        *(partial(Client.post, path=url, **headers) for headers in users),
        *(partial(Client.post, path="orders", body=order, **headers) for headers in users),
    ]
    answers = run_concurrently(gunicorn_with_auth, jobs * 20)
    assert Counter(answer.status for answer in answers) == {201: 14, 409: 66}
    for user in range(2):
        statuses = [answer.status for answer in answers[user::2]]
        assert statuses.count(201) == 7
    assert [verdict for verdict in verify.evaluate_all(database) if not verdict.passed] == []


def test_a_coupon_is_deleted_or_redeemed_but_not_both(shared_gunicorn, client, consistent):
    for number in range(20):
        coupon = client.create("coupons", code=f"Gone {number}", init_count=1)
        delete = partial(Client.delete, path=f"coupons/{coupon['pk']}")
        answers = run_concurrently(shared_gunicorn, [delete, redemption(coupon)], 2)
        assert [answer.status for answer in answers] in ([204, 404], [409, 201])
