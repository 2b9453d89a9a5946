"""Orders over HTTP: lists, items, idempotency keys and the audit log."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from uuid_utils.compat import uuid7

from alchemist import database as db
from tests.domains.orders.shop import URL, item, remaining, stock, transition
from tests.factories import make_coupon, make_order, make_product, make_store, make_user, sign_in

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def list_pks(client_with_auth, admin):
    """Return a function that lists the pks of the orders that match a query."""

    def call(**query):
        answer = client_with_auth.get(URL, query_string=query, headers=admin)
        assert answer.status_code == 200, answer.text
        return [order["pk"] for order in answer.json]

    return call


@pytest.fixture
def place_at(client_with_auth):
    """Return a function that creates an order placed some hours after noon."""

    def call(hours, **values):
        order = make_order(**values)
        return str(db.update(order, {"placed_at": NOON + timedelta(hours=hours)}).pk)

    return call


def after_noon(hours):
    return (NOON + timedelta(hours=hours)).isoformat()


# Lists


def walk(client, url, headers):
    """Return the keys of all pages."""
    listed = []
    while url:
        answer = client.get(url, headers=headers)
        listed += [order["pk"] for order in answer.json]
        next_link = re.search('<([^>]+)>; rel="next"', answer.headers["Link"])
        url = next_link and next_link[1]
    return listed


def test_list_filters_by_status(client_with_auth, list_pks, admin):
    orders = {status: make_order() for status in ("placed", "paid", "fulfilled", "cancelled")}
    transition(client_with_auth, orders["paid"].pk, "pay", headers=admin)
    transition(client_with_auth, orders["fulfilled"].pk, "pay", "fulfil", headers=admin)
    transition(client_with_auth, orders["cancelled"].pk, "cancel", headers=admin)
    for status, order in orders.items():
        assert list_pks(status=status) == [str(order.pk)]


@pytest.mark.parametrize("sort", ["pk", "-pk", "placed_at", "-placed_at", "updated_at"])
def test_list_filters_by_several_statuses(client_with_auth, list_pks, admin, sort):
    orders = [make_order() for _ in range(6)]
    for order, action in zip(orders, ("pay", "cancel", "pay", None, None, None), strict=True):
        transition(client_with_auth, order.pk, *filter(None, [action]), headers=admin)
    expected = [
        str(orders[i].pk) for i in ((0, 2, 3, 4, 5) if sort != "updated_at" else (3, 4, 5, 0, 2))
    ]
    listed = walk(client_with_auth, f"{URL}?limit=2&status=placed,paid&sort={sort}", admin)
    assert listed == (expected[::-1] if sort.startswith("-") else expected)
    assert list_pks(status="paid,fulfilled") == [str(orders[0].pk), str(orders[2].pk)]


def test_a_repeated_status_adds_to_the_list(client_with_auth, admin):
    order = make_order()
    listed = client_with_auth.get(f"{URL}?status=paid&status=placed", headers=admin).json
    assert [each["pk"] for each in listed] == [str(order.pk)]


def test_list_filters_by_store(list_pks):
    store = make_store()
    tea, soup, broth = make_product(), make_product(store), make_product(store)
    all_three, only_tea = make_order(tea, soup, broth), make_order(tea)
    assert list_pks(store_id=str(tea.store_id)) == [str(all_three.pk), str(only_tea.pk)]
    assert list_pks(store_id=str(soup.store_id)) == [str(all_three.pk)]
    assert list_pks(store_id=str(soup.store_id), product_id=str(tea.pk)) == [str(all_three.pk)]
    assert list_pks(store_id=str(uuid7())) == []


def test_list_filters_by_user(list_pks, buyer):
    order = make_order(user=buyer)
    make_order(user=make_user())
    make_order()
    assert list_pks(user_id=str(buyer.pk)) == [str(order.pk)]
    assert list_pks(user_id=str(uuid7())) == []


def test_list_filters_by_product(list_pks):
    tea, soup = make_product(), make_product()
    tea_and_soup, only_tea = make_order(tea, soup), make_order(tea)
    assert list_pks(product_id=str(tea.pk)) == [str(tea_and_soup.pk), str(only_tea.pk)]
    assert list_pks(product_id=str(soup.pk)) == [str(tea_and_soup.pk)]


def test_list_filters_by_the_time_of_placing(list_pks, place_at):
    early, noon, late = place_at(-1), place_at(0), place_at(1)
    assert list_pks(placed_after=after_noon(0)) == [noon, late]
    assert list_pks(placed_before=after_noon(0)) == [early]
    assert list_pks(placed_after=after_noon(0), placed_before=after_noon(1)) == [noon]
    assert list_pks(placed_after="2026-05-01T14:00:00+02:00", placed_before=after_noon(1)) == [noon]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"placed_after": "0001-01-01T00:00:00Z"}, 1),
        ({"placed_before": "0001-01-01T00:00:00Z"}, 0),
        ({"placed_after": "9999-12-31T23:59:59.999999Z"}, 0),
        ({"placed_before": "9999-12-31T23:59:59.999999Z"}, 1),
    ],
)
def test_time_filters_accept_the_first_and_the_last_datetime(list_pks, query, count):
    make_order()
    assert len(list_pks(**query)) == count


def test_filters_are_combined(client_with_auth, list_pks, place_at, buyer, admin):
    match = place_at(1, user=buyer)
    place_at(-1, user=buyer)
    place_at(1)
    transition(client_with_auth, place_at(2, user=buyer), "cancel", headers=admin)
    query = {"user_id": str(buyer.pk), "status": "placed", "placed_after": after_noon(0)}
    assert list_pks(**query) == [match]


@pytest.mark.parametrize(
    "query",
    [
        "status=sold",
        "status=",
        "user_id=x",
        "product_id=x",
        "hero_id=01935f2e-7c1a-7b3e-9d3c-0123456789ab",
        "placed_after=2026-01-01",
        "placed_after=2026-01-01T00:00:00",
        "placed_after=infinity",
        "placed_before=0001-01-01T00:00:00%2B01:00",
        "placed_before=9999-12-31T23:59:59-01:00",
        "placed_before=10000-01-01T00:00:00Z",
        "status=paid&status=paid",
        "status=paid,sold",
        "store_id=x",
        "sort=status",
        "sort=created_at",
    ],
)
def test_an_invalid_query_parameter_is_422(client_with_auth, admin, query):
    assert client_with_auth.get(f"{URL}?{query}", headers=admin).status_code == 422


@pytest.mark.parametrize("sort", ["pk", "-pk", "placed_at", "-placed_at", "placed_at,-pk"])
def test_every_sort_key_pages_through_all_orders(client_with_auth, place_at, admin, sort):
    created = [place_at(hours) for hours in (3, 1, 2, 5, 4)]
    ascending = created if "placed_at" not in sort else [created[i] for i in (1, 2, 0, 4, 3)]
    listed = walk(client_with_auth, f"{URL}?limit=2&sort={sort}", admin)
    assert listed == (ascending[::-1] if sort.startswith("-") else ascending)


def test_a_cursor_is_invalid_with_another_status_filter(client_with_auth, admin):
    for _ in range(3):
        make_order()
    page = client_with_auth.get(f"{URL}?limit=1&status=placed", headers=admin)
    next_url = re.search('<([^>]+)>; rel="next"', page.headers["Link"])[1]
    assert client_with_auth.get(next_url, headers=admin).status_code == 200
    paid_url = next_url.replace("status=placed", "status=paid")
    assert client_with_auth.get(paid_url, headers=admin).status_code == 400


def test_a_list_is_one_statement_for_any_number_of_items(client, statements):
    for length in (1, 3, 9):
        make_order(*(make_product() for _ in range(length)), coupon_code=make_coupon().code)
    client.get(URL)
    with statements() as executed:
        assert [len(order["items"]) for order in client.get(URL).json] == [1, 3, 9]
    assert len(executed) == 1


def test_list_and_item_have_the_same_representation(client):
    coupon = make_coupon(percent_off=30)
    order = make_order(make_product(), make_product(), coupon_code=coupon.code)
    assert client.get(URL).json == [client.get(f"{URL}/{order.pk}").json]


# Items


def test_a_matching_if_none_match_is_304(client):
    url = f"{URL}/{make_order().pk}"
    etag = client.get(url).headers["ETag"]
    answer = client.get(url, headers={"If-None-Match": f"W/{etag}"})
    assert (answer.status_code, answer.headers["ETag"]) == (304, etag)


@pytest.mark.parametrize("path", ["", "/pk"])
def test_head_answers_like_get_without_a_body(client, path):
    url = URL + path.replace("pk", str(make_order().pk))
    get, head = client.get(url), client.head(url)
    assert (head.status_code, head.data) == (200, b"")
    assert head.headers.get("ETag") == get.headers.get("ETag")


@pytest.mark.parametrize("pk", ["x", "0", "01935f2e-7c1a-7b3e-9d3c-0123456789ab"])
def test_an_order_that_does_not_exist_is_404(client, pk):
    assert client.get(f"{URL}/{pk}").status_code == 404


@pytest.mark.parametrize("method", ["PATCH", "DELETE", "PUT", "POST"])
def test_orders_cannot_be_updated_or_deleted(client, method):
    url = f"{URL}/{make_order().pk}"
    answer = client.open(url, method=method, json={"status": "paid"}, headers={"If-Match": "*"})
    assert answer.status_code == 405
    allowed = set(answer.headers["Allow"].split(", "))
    assert {"GET", "HEAD"} <= allowed
    assert not allowed & {"PATCH", "DELETE", "PUT", "POST"}
    assert client.get(url).json["status"] == "placed"


@pytest.mark.parametrize("path", ["/pay", "/fulfil", "/cancel"])
def test_transitions_only_allow_post(client, path):
    answer = client.get(f"{URL}/{make_order().pk}{path}")
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]


# Idempotency keys


def test_an_order_repeated_with_its_key_is_placed_once(place, buyer_headers):
    product, coupon = make_product(stock=5), make_coupon()
    key = buyer_headers | {"Idempotency-Key": "one"}
    body = {"coupon_code": coupon.code, "headers": key}
    first, second = place(item(product, 2), **body), place(item(product, 2), **body)
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.data == first.data
    for name in ("ETag", "Location", "Content-Type"):
        assert second.headers[name] == first.headers[name]
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert (stock(product), remaining(coupon)) == (3, 9)


def test_the_stored_answer_is_replayed_after_the_order_has_changed(
    client_with_auth, place, buyer_headers
):
    product = make_product(stock=1)
    key = buyer_headers | {"Idempotency-Key": "one"}
    first = place(item(product), headers=key)
    transition(client_with_auth, first.json["pk"], "cancel", headers=buyer_headers)
    assert place(item(product), headers=key).data == first.data


def test_a_key_with_another_body_is_422(place, buyer_headers):
    product = make_product(stock=5)
    key = buyer_headers | {"Idempotency-Key": "one"}
    place(item(product), headers=key)
    answer = place(item(product, 2), headers=key)
    assert (answer.status_code, answer.json["code"]) == (422, "idempotency-key-reused")
    assert stock(product) == 4


def test_a_key_of_a_quote_can_be_used_for_its_order(place, quote, buyer_headers):
    product = make_product(stock=5)
    key = buyer_headers | {"Idempotency-Key": "one"}
    assert quote(item(product), headers=key).status_code == 200
    assert place(item(product), headers=key).status_code == 201
    assert stock(product) == 4


def test_an_out_of_stock_conflict_is_replayed(client_with_auth, place, buyer_headers, admin):
    product = make_product(stock=0)
    key = buyer_headers | {"Idempotency-Key": "one"}
    first = place(item(product), headers=key)
    client_with_auth.post(
        f"/api/v2/products/{product.pk}/restock", json={"quantity": 1}, headers=admin
    )
    second = place(item(product), headers=key)
    assert (first.status_code, second.status_code) == (409, 409)
    assert second.data == first.data
    assert second.headers["Idempotent-Replayed"] == "true"
    assert stock(product) == 1


def test_an_invalid_order_stores_no_key(place, buyer_headers):
    product = make_product(stock=5)
    key = buyer_headers | {"Idempotency-Key": "one"}
    assert place(item(product, 0), headers=key).status_code == 422
    assert place(item(product), headers=key).status_code == 201


def test_a_price_that_is_too_large_stores_no_key(place, buyer_headers):
    expensive, cheap = make_product(price=9_999_999_999), make_product()
    key = buyer_headers | {"Idempotency-Key": "one"}
    assert place(item(expensive, 2), headers=key).status_code == 422
    assert place(item(cheap), headers=key).status_code == 201


def test_keys_of_two_buyers_are_independent(place):
    product = make_product(stock=5)
    answers = [
        place(item(product), headers=sign_in(make_user()) | {"Idempotency-Key": "one"})
        for _ in range(2)
    ]
    assert answers[0].json["pk"] != answers[1].json["pk"]
    assert stock(product) == 3


# The audit log


def test_an_order_and_its_redemption_are_audited(
    client_with_auth, place, buyer_headers, admin, buyer
):
    pk = place(item(make_product(stock=1)), coupon_code=make_coupon().code).json["pk"]
    transition(client_with_auth, pk, "cancel", headers=buyer_headers)
    log = client_with_auth.get("/api/v2/audit", query_string={"sort": "pk"}, headers=admin).json
    changes = [
        (entry["action"], entry["resource"]) for entry in log if entry["user_id"] == str(buyer.pk)
    ]
    assert sorted(changes) == [
        ("create", "orders"),
        ("create", "redemptions"),
        *[("update", "coupons")] * 2,
        ("update", "orders"),
        *[("update", "products")] * 2,
        ("update", "redemptions"),
    ]
