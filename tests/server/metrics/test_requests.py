"""What the metrics count of requests."""

import pytest
from prometheus_client import REGISTRY

from alchemist import database as db
from alchemist import errors
from alchemist.domains.ingredients import service as ingredients
from alchemist.server.metrics import requests
from tests.factories import bearer, make_coupon, make_product, make_user, sign_in

POTIONS = "/api/v2/potions"
ORDERS = "/api/v2/orders"


@pytest.fixture
def client(make_committing_app):
    """A client of an app with metrics, on a database of its own."""
    app = make_committing_app(limit_requests=1000)
    requests.init_app(app)
    return app.test_client()


@pytest.fixture
def growth():
    """Return a function that returns what a metric has grown by since the test began."""
    before = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
    }

    def difference(name, **labels):
        value = REGISTRY.get_sample_value(name, labels) or 0
        return value - before.get((name, frozenset(labels.items())), 0)

    return difference


def durations(growth, method, route, status):
    labels = {
        "http_request_method": method,
        "http_route": route,
        "http_response_status_code": str(status),
    }
    return growth("http_server_request_duration_seconds_count", **labels)


def test_a_request_is_counted_by_method_route_and_status(client, growth):
    client.get(POTIONS)
    client.get(f"{POTIONS}/01935f2e-7c1a-7b3e-9d3c-0123456789ab")
    assert durations(growth, "GET", POTIONS, 200) == 1
    assert durations(growth, "GET", f"{POTIONS}/<uuid:pk>", 404) == 1


def test_methods_and_paths_that_clients_invent_are_one_value(client, growth):
    size = len(requests._durations)
    for name in ("BREW", "STIR", "SIP"):
        client.open(f"/{name}", method=name)
    client.open(POTIONS, method="BREW")
    assert durations(growth, "_OTHER", "", 404) == 3
    assert durations(growth, "_OTHER", "", 405) == 1
    assert len(requests._durations) <= size + 2


def test_statements_are_counted_with_their_time(client, growth):
    client.get(POTIONS)
    statements, seconds = requests.totals.statements, requests.totals.statement_seconds
    client.get(POTIONS)
    assert requests.totals.statements == statements + 1
    assert 0 < requests.totals.statement_seconds - seconds < 60


def test_the_second_use_of_a_token_is_counted_as_cached(make_committing_app):
    app = make_committing_app(open_access=False)
    requests.init_app(app)
    client = app.test_client()
    headers = sign_in(make_user(role="admin"))
    db.session.commit()
    before = requests.totals.token_lookups.copy()
    for _ in range(2):
        assert client.get("/api/v2/me", headers=headers).status_code == 200
    assert client.get("/api/v2/me", headers=bearer("alc_unknown")).status_code == 401
    assert requests.totals.token_lookups - before == {True: 1, False: 1}


def test_orders_and_coupons_are_counted_once_and_only_if_they_took_effect(client, growth):
    product, coupon = make_product(stock=2), make_coupon(init_count=5)
    db.session.commit()
    order = {"items": [{"product_id": str(product.pk), "quantity": 1}], "coupon_code": coupon.code}
    for _ in range(2):
        assert client.post(ORDERS, json=order, headers={"Idempotency-Key": "a"}).status_code == 201
    assert client.post(f"{ORDERS}/quote", json=order).status_code == 200
    assert client.post(f"{ORDERS}?dry_run=true", json=order).status_code == 201
    too_many = {"items": [{"product_id": str(product.pk), "quantity": 9}]}
    assert client.post(ORDERS, json=too_many).status_code == 409
    assert client.post(f"/api/v2/coupons/{coupon.pk}/redemptions").status_code == 201
    old = {"items": [{"productId": str(product.pk), "quantity": 1}]}
    assert client.post("/api/v1/orders/", json=old).status_code == 201
    assert growth("alchemist_orders_placed_total") == 2
    assert growth("alchemist_coupons_redeemed_total") == 2
    assert growth("alchemist_idempotent_replays_total") == 1


def test_the_routes_of_orders_and_redemptions_exist(app):
    routes = {rule.rule for rule in app.url_map.iter_rules()}
    assert routes >= {*requests.ORDER_ROUTES, requests.REDEMPTION_ROUTE}


def test_repetitions_of_an_operation_are_counted(client, growth, monkeypatch):
    create, failures = ingredients.create, [errors.RetryRequest("Again."), None, None]

    def fail_first(**values):
        if failure := failures.pop(0):
            raise failure
        return create(**values)

    monkeypatch.setattr(ingredients, "create", fail_first)
    for _ in range(2):
        assert client.post("/api/v2/ingredients", json={"name": "Root"}).status_code == 201
    assert growth("alchemist_request_retries_total") == 1


def test_rejections_are_counted_by_the_code_of_their_problem(make_committing_app, growth):
    app = make_committing_app(limit_requests=1)
    requests.init_app(app)
    client = app.test_client()
    assert [client.get(POTIONS).status_code for _ in range(2)] == [200, 429]
    assert growth("alchemist_rejected_requests_total", reason="rate-limited") == 1
