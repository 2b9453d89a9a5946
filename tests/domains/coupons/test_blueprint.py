"""Coupons over HTTP."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from alchemist import database as db
from alchemist.domains.coupons.models import Coupon
from tests.answers import error_pointers, pointers_and_codes
from tests.domains.orders.shop import coupon_mismatches
from tests.factories import make_coupon, make_order, make_user, sign_in

URL = "/api/v2/coupons"
ANY = {"If-Match": "*"}
NOW = datetime.now(UTC)
LATER, EARLIER = NOW + timedelta(days=1), NOW - timedelta(days=1)
FIELDS = {
    *("pk", "code", "init_count", "remaining_count", "percent_off"),
    *("valid_from", "valid_until", "per_user_limit", "reference", "created_at", "updated_at"),
}
OPTIONAL = ["percent_off", "valid_from", "valid_until", "per_user_limit"]
FIRST, LAST = "0001-01-01T00:00:00.000000+00:00", "9999-12-31T23:59:59.999999+00:00"


@pytest.fixture
def post(client_with_auth, admin):
    """Return a function that creates a coupon."""

    def call(headers=admin, **values):
        body = {"code": "Moonshine", "init_count": 10} | values
        return client_with_auth.post(URL, json=body, headers=headers)

    return call


@pytest.fixture
def patch(client_with_auth, admin):
    """Return a function that updates a coupon."""

    def call(coupon, headers=admin, **changes):
        return client_with_auth.patch(f"{URL}/{coupon.pk}", json=changes, headers=headers | ANY)

    return call


@pytest.fixture
def list_codes(client_with_auth, admin):
    """Return a function that lists the codes of the coupons that match a query."""

    def call(**query):
        answer = client_with_auth.get(URL, query_string=query, headers=admin)
        assert answer.status_code == 200, answer.text
        return [coupon["code"] for coupon in answer.json]

    return call


def reload(coupon):
    db.session.rollback()
    return db.session.get(Coupon, coupon.pk, populate_existing=True)


def redeem(coupon, times=1):
    for _ in range(times):
        make_order(coupon_code=coupon.code)


# Creation


def test_a_new_coupon_has_every_field(post):
    answer = post()
    assert answer.status_code == 201, answer.text
    assert set(answer.json) == FIELDS
    counts = [answer.json[name] for name in ("code", "init_count", "remaining_count")]
    assert counts == ["Moonshine", 10, 10]
    assert [answer.json[name] for name in OPTIONAL] == [None] * 4


def test_location_is_the_url_of_the_new_coupon(client_with_auth, post, admin):
    created = post()
    fetched = client_with_auth.get(created.location, headers=admin)
    assert (created.location, fetched.json) == (f"{URL}/{created.json['pk']}", created.json)
    assert fetched.headers["ETag"] == created.headers["ETag"]


def test_every_field_is_stored(post):
    values = {
        "remaining_count": 7,
        "percent_off": 15,
        "valid_from": "2026-01-01T02:00:00+02:00",
        "valid_until": "2026-12-31T23:59:59.5Z",
        "per_user_limit": 2,
    }
    created = post(**values).json
    assert [created[name] for name in values] == [
        *(7, 15, "2026-01-01T00:00:00.000000+00:00", "2026-12-31T23:59:59.500000+00:00", 2)
    ]


@pytest.mark.parametrize("name", OPTIONAL)
def test_optional_fields_may_be_null(post, name):
    assert post(**{name: None}).json[name] is None


@pytest.mark.parametrize("remaining", [0, 4, 10])
def test_a_new_coupon_may_have_earlier_uses(post, remaining):
    assert post(remaining_count=remaining).json["remaining_count"] == remaining
    assert coupon_mismatches() == []


@pytest.mark.parametrize("count", [0, 1_000_000_000])
def test_init_count_may_be_zero_or_a_billion(post, count):
    answer = post(init_count=count)
    assert (answer.json["init_count"], answer.json["remaining_count"]) == (count, count)


@pytest.mark.parametrize("percent_off", [0, 1, 100])
def test_a_percentage_is_from_0_to_100(post, percent_off):
    assert post(percent_off=percent_off).json["percent_off"] == percent_off


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"code": ""}, ("#/code", "too-short")),
        ({"code": " \t"}, ("#/code", "too-short")),
        ({"code": "a" * 65}, ("#/code", "too-long")),
        ({"code": None}, ("#/code", "not-nullable")),
        ({"code": 7}, ("#/code", "wrong-type")),
        ({"init_count": None}, ("#/init_count", "not-nullable")),
        ({"init_count": -1}, ("#/init_count", "out-of-range")),
        ({"init_count": 1_000_000_001}, ("#/init_count", "out-of-range")),
        ({"init_count": 10**30}, ("#/init_count", "out-of-range")),
        ({"init_count": "10"}, ("#/init_count", "wrong-type")),
        ({"init_count": 1.5}, ("#/init_count", "wrong-type")),
        ({"init_count": True}, ("#/init_count", "wrong-type")),
        ({"remaining_count": None}, ("#/remaining_count", "not-nullable")),
        ({"remaining_count": -1}, ("#/remaining_count", "out-of-range")),
        ({"remaining_count": 11}, ("#/remaining_count", "out-of-range")),
        ({"percent_off": -1}, ("#/percent_off", "out-of-range")),
        ({"percent_off": 101}, ("#/percent_off", "out-of-range")),
        ({"percent_off": 12.5}, ("#/percent_off", "wrong-type")),
        ({"percent_off": "15"}, ("#/percent_off", "wrong-type")),
        ({"per_user_limit": 0}, ("#/per_user_limit", "out-of-range")),
        ({"per_user_limit": 2**31}, ("#/per_user_limit", "out-of-range")),
        ({"valid_from": "2026-01-01"}, ("#/valid_from", "wrong-type")),
        ({"valid_from": "2026-01-01T00:00:00"}, ("#/valid_from", "wrong-type")),
        ({"valid_from": "infinity"}, ("#/valid_from", "wrong-type")),
        ({"valid_from": "0001-01-01T00:00:00+01:00"}, ("#/valid_from", "wrong-type")),
        ({"valid_until": "9999-12-31T23:59:59-01:00"}, ("#/valid_until", "wrong-type")),
        ({"valid_until": "10000-01-01T00:00:00Z"}, ("#/valid_until", "wrong-type")),
        ({"valid_until": 1767225600}, ("#/valid_until", "wrong-type")),
        ({"used_before": 1}, ("#/used_before", "unknown-field")),
        ({"is_left": True}, ("#/is_left", "unknown-field")),
    ],
)
def test_an_invalid_value_is_422_with_its_pointer(post, values, expected):
    answer = post(**values)
    assert answer.status_code == 422, answer.text
    assert pointers_and_codes(answer) == {expected}


def test_all_validation_errors_are_reported_together(post):
    answer = post(code="", init_count=-1, percent_off=101, per_user_limit=0, valid_from=1)
    assert error_pointers(answer) == {
        *("#/code", "#/init_count", "#/percent_off", "#/per_user_limit", "#/valid_from")
    }


def test_all_inconsistencies_are_reported_together(post):
    answer = post(remaining_count=11, valid_from=LAST, valid_until=FIRST)
    assert pointers_and_codes(answer) == {
        ("#/remaining_count", "out-of-range"),
        ("#/valid_until", "out-of-range"),
    }


def test_inconsistencies_are_reported_with_errors_of_other_fields(post):
    answer = post(code=" ", remaining_count=11, valid_from=LAST, valid_until=FIRST)
    assert pointers_and_codes(answer) == {
        ("#/code", "too-short"),
        ("#/remaining_count", "out-of-range"),
        ("#/valid_until", "out-of-range"),
    }


def test_invalid_fields_are_not_compared(post):
    answer = post(init_count=-1, remaining_count=5, valid_from=LAST, valid_until="soon")
    assert pointers_and_codes(answer) == {
        ("#/init_count", "out-of-range"),
        ("#/valid_until", "wrong-type"),
    }


@pytest.mark.parametrize("end", ["2026-05-01T12:00:00Z", "2026-05-01T13:59:59+02:00"])
def test_valid_until_must_be_later_than_valid_from(post, end):
    answer = post(valid_from="2026-05-01T12:00:00Z", valid_until=end)
    assert pointers_and_codes(answer) == {("#/valid_until", "out-of-range")}


def test_the_period_of_validity_may_be_one_microsecond(post):
    answer = post(valid_from="2026-05-01T12:00:00Z", valid_until="2026-05-01T12:00:00.000001Z")
    assert answer.status_code == 201


# Codes


@pytest.mark.parametrize(
    ("new_code", "code"),
    [
        ("Moonshine", "Moonshine"),
        ("Moonshine", "MOONSHINE"),
        ("Moonshine", " moonshine "),
        ("ÄRGER", "ärger"),
        ("ЗЕЛЬЕ", "зелье"),
        ("A\u0308RGER", "ärger"),
        ("ΧΡΟΝΟΣ", "χρονος"),
        ("STRASSE", "Straße"),
        ("ﬁre", "FIRE"),
        ("½ price", "1\u20442 PRICE"),
    ],
)
def test_codes_are_unique_in_any_case(post, new_code, code):
    make_coupon(code=code.strip())
    answer = post(code=new_code)
    assert (answer.status_code, pointers_and_codes(answer)) == (409, {("#/code", "already-exists")})
    assert new_code in answer.json["detail"]


@pytest.mark.parametrize(("code", "new_code"), [("Moonshine", "MOONSHINE"), ("Straße", "STRASSE")])
def test_changing_to_the_code_of_another_coupon_is_409(patch, code, new_code):
    make_coupon(code=code)
    coupon = make_coupon(code="Sunshine")
    answer = patch(coupon, code=new_code)
    assert (answer.status_code, pointers_and_codes(answer)) == (409, {("#/code", "already-exists")})
    assert new_code in answer.json["detail"]
    assert reload(coupon).code == "Sunshine"


def test_a_changed_code_is_found_and_its_old_one_is_free(patch, post, list_codes):
    patch(make_coupon(code="Moonshine"), code="ΧΡΟΝΟΣ")
    assert list_codes(code="χρονος") == ["ΧΡΟΝΟΣ"]
    assert list_codes(code="moonshine") == []
    assert post(code="MOONSHINE").status_code == 201


def test_invisible_characters_are_dropped_from_a_code(post, list_codes):
    assert (
        post(code="\u2060Mid\u200bsum\u00admer\u3164 Brew\u2800").json["code"] == "Midsummer Brew"
    )
    assert list_codes(code="mid\u2060summer brew") == ["Midsummer Brew"]


def test_an_unchanged_code_is_no_change(patch):
    coupon = make_coupon(code="Moonshine")
    assert patch(coupon, code="Moonshine").status_code == 200
    assert reload(coupon).version == 1


def test_the_case_of_a_code_can_be_changed(patch):
    assert patch(make_coupon(code="Moonshine"), code="MoonShine").json["code"] == "MoonShine"


# Lists


@pytest.mark.parametrize("code", ["Ärger", "ÄRGER", "ärger", " ärger ", "\uff41\u0308rger"])
def test_list_filters_by_code_in_any_case(list_codes, code):
    make_coupon(code="Ärger")
    make_coupon(code="Ärger2")
    assert list_codes(code=code) == ["Ärger"]


def test_list_filters_by_active(list_codes):
    make_coupon(code="always")
    make_coupon(code="open", valid_from=EARLIER, valid_until=LATER)
    make_coupon(code="last", init_count=5, remaining_count=1)
    make_coupon(code="gone", init_count=5, remaining_count=0)
    make_coupon(code="never", init_count=0)
    make_coupon(code="early", valid_from=LATER)
    make_coupon(code="late", valid_until=EARLIER)
    assert list_codes(active="true") == ["always", "open", "last"]
    assert list_codes(active="false") == ["gone", "never", "early", "late"]
    assert list_codes(active="false", code="GONE") == ["gone"]
    assert list_codes(active="true", code="GONE") == []


@pytest.mark.parametrize(("edge", "is_active"), [("valid_from", "true"), ("valid_until", "false")])
def test_the_period_of_validity_includes_its_start_but_not_its_end(list_codes, edge, is_active):
    """A bound of just now is before the time of the statement."""
    make_coupon(code="edge", **{edge: datetime.now(UTC)})
    assert list_codes(active=is_active) == ["edge"]


def test_a_coupon_without_uses_left_is_inactive(list_codes):
    coupon = make_coupon(code="once", init_count=1)
    assert list_codes(active="true") == ["once"]
    redeem(coupon)
    assert list_codes(active="false") == ["once"]


@pytest.mark.parametrize(
    "query",
    [
        "active=yes",
        "active=1",
        "active=",
        "active=true&active=false",
        "percent_off=1",
        "q=a",
        "sort=init_count",
        f"code={'a' * 65}",
    ],
)
def test_an_invalid_query_parameter_is_422(client_with_auth, admin, query):
    assert client_with_auth.get(f"{URL}?{query}", headers=admin).status_code == 422


@pytest.mark.parametrize("sort", ["code", "-code", "created_at", "-created_at", "-pk", "pk"])
@pytest.mark.parametrize("active", ["", "&active=true"])
def test_every_sort_key_pages_through_all_coupons(client_with_auth, admin, sort, active):
    codes = sorted(make_coupon(code=code).code for code in "cabed")
    url, listed = f"{URL}?limit=2&sort={sort}{active}", []
    while url:
        answer = client_with_auth.get(url, headers=admin)
        listed += [coupon["code"] for coupon in answer.json]
        next_link = re.search('<([^>]+)>; rel="next"', answer.headers["Link"])
        url = next_link and next_link[1]
    assert sorted(listed) == codes
    if "code" in sort:
        assert listed == (codes[::-1] if sort.startswith("-") else codes)


def test_a_list_is_one_statement(client, statements):
    make_coupon()
    client.get(URL)
    with statements() as executed:
        assert len(client.get(f"{URL}?active=true").json) == 1
    assert len(executed) == 1


# Updates


def test_patch_keeps_absent_fields(patch):
    coupon = make_coupon(percent_off=15, per_user_limit=2, valid_until=LATER)
    answer = patch(coupon, percent_off=20)
    assert answer.status_code == 200
    assert (answer.json["percent_off"], answer.json["per_user_limit"]) == (20, 2)
    assert answer.json["valid_until"] == LATER.isoformat(timespec="microseconds")


@pytest.mark.parametrize("name", OPTIONAL)
def test_null_clears_an_optional_field(patch, name):
    values = {"percent_off": 1, "valid_from": EARLIER, "valid_until": LATER, "per_user_limit": 1}
    answer = patch(make_coupon(**values), **{name: None})
    assert [key for key in values if answer.json[key] is None] == [name]


@pytest.mark.parametrize("name", ["code", "init_count"])
def test_null_is_422_for_a_required_field(patch, name):
    assert pointers_and_codes(patch(make_coupon(), **{name: None})) == {
        (f"#/{name}", "not-nullable")
    }


@pytest.mark.parametrize(("init_count", "remaining"), [(20, 13), (10, 3), (7, 0)])
def test_a_new_init_count_changes_remaining_count_by_the_difference(patch, init_count, remaining):
    coupon = make_coupon(init_count=10, remaining_count=5)
    redeem(coupon, 2)
    answer = patch(coupon, init_count=init_count)
    assert answer.status_code == 200, answer.text
    counts = (answer.json["init_count"], answer.json["remaining_count"])
    assert counts == (init_count, remaining)
    assert coupon_mismatches() == []


@pytest.mark.parametrize("init_count", [6, 0])
def test_an_init_count_below_the_number_of_uses_is_409(patch, init_count):
    coupon = make_coupon(init_count=10, remaining_count=5)
    redeem(coupon, 2)
    answer = patch(coupon, init_count=init_count)
    assert (answer.status_code, pointers_and_codes(answer)) == (409, {("#/init_count", "conflict")})
    assert "7" in answer.json["detail"]
    assert (reload(coupon).init_count, reload(coupon).remaining_count) == (10, 3)


def test_a_released_redemption_is_no_use(client):
    coupon = make_coupon(init_count=10)
    order = make_order(coupon_code=coupon.code)
    assert client.post(f"/api/v2/orders/{order.pk}/cancel").status_code == 200
    answer = client.patch(f"{URL}/{coupon.pk}", json={"init_count": 0}, headers=ANY)
    assert (answer.json["remaining_count"], coupon_mismatches()) == (0, [])


def test_remaining_count_is_read_only_after_the_creation(patch):
    coupon = make_coupon(init_count=10)
    assert pointers_and_codes(patch(coupon, remaining_count=9)) == {
        ("#/remaining_count", "read-only")
    }
    assert patch(coupon, remaining_count=10).status_code == 200
    assert pointers_and_codes(patch(coupon, init_count=11, remaining_count=11)) == {
        ("#/remaining_count", "read-only")
    }


@pytest.mark.parametrize(("sent", "status"), [("true", 422), ("1.0", 422), ("1", 200)])
def test_a_read_only_field_may_only_be_repeated_as_the_same_json(
    client_with_auth, admin, sent, status
):
    """In Python, True, 1 and 1.0 are equal."""
    url, headers = f"{URL}/{make_coupon(init_count=1).pk}", admin | ANY
    body = f'{{"remaining_count": {sent}}}'
    answer = client_with_auth.patch(
        url, data=body, content_type="application/json", headers=headers
    )
    assert answer.status_code == status, answer.text
    if status == 422:
        assert pointers_and_codes(answer) == {("#/remaining_count", "read-only")}


def test_a_representation_may_be_sent_back(client_with_auth, admin):
    url = f"{URL}/{make_coupon(percent_off=5, valid_until=LATER).pk}"
    fetched = client_with_auth.get(url, headers=admin)
    headers = admin | {"If-Match": fetched.headers["ETag"]}
    assert client_with_auth.patch(url, json=fetched.json, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("stored", "sent", "value"),
    [
        ({"valid_until": NOW}, "valid_from", LATER),
        ({"valid_until": NOW}, "valid_from", NOW),
        ({"valid_from": NOW}, "valid_until", EARLIER),
    ],
)
@pytest.mark.parametrize("other_changes", [{}, {"init_count": 0}, {"code": "existing"}])
def test_a_changed_bound_is_compared_with_the_stored_bound(
    patch, stored, sent, value, other_changes
):
    """The error points to the bound that was sent, and precedes conflicts."""
    make_coupon(code="existing")
    coupon = make_coupon(**stored, init_count=10, remaining_count=5)
    answer = patch(coupon, **{sent: value.isoformat()}, **other_changes)
    assert (answer.status_code, pointers_and_codes(answer)) == (
        422,
        {(f"#/{sent}", "out-of-range")},
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"valid_from": LATER.isoformat(), "valid_until": None},
        {"valid_from": LATER.isoformat(), "valid_until": LAST},
        {"valid_from": None},
    ],
)
def test_a_replaced_bound_is_not_compared(patch, changes):
    coupon = make_coupon(valid_from=EARLIER, valid_until=NOW)
    assert patch(coupon, **changes).status_code == 200


def test_a_redemption_changes_the_etag_of_the_coupon(client_with_auth, admin):
    coupon = make_coupon()
    url = f"{URL}/{coupon.pk}"
    before = client_with_auth.get(url, headers=admin)
    redeem(coupon)
    after = client_with_auth.get(url, headers=admin)
    assert (before.json["remaining_count"], after.json["remaining_count"]) == (10, 9)
    assert after.json["updated_at"] > before.json["updated_at"]
    stale = admin | {"If-Match": before.headers["ETag"]}
    assert client_with_auth.patch(url, json={"init_count": 5}, headers=stale).status_code == 412


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_patch_and_delete_need_if_match(client_with_auth, admin, method):
    coupon = make_coupon()
    answer = client_with_auth.open(f"{URL}/{coupon.pk}", method=method, json={}, headers=admin)
    assert answer.status_code == 428
    assert reload(coupon) is not None


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_stale_etag_is_412_with_the_current_coupon(client_with_auth, admin, patch, method):
    coupon = make_coupon()
    url = f"{URL}/{coupon.pk}"
    old_etag = client_with_auth.get(url, headers=admin).headers["ETag"]
    changed = patch(coupon, percent_off=1)
    headers = admin | {"If-Match": old_etag}
    answer = client_with_auth.open(url, method=method, json={"percent_off": 2}, headers=headers)
    assert (answer.status_code, answer.json["current"]) == (412, changed.json)
    assert answer.headers["ETag"] == changed.headers["ETag"]


# Deletion


def test_a_coupon_without_redemptions_can_be_deleted(client_with_auth, admin, post):
    url = post().location
    assert client_with_auth.delete(url, headers=admin | ANY).status_code == 204
    assert client_with_auth.get(url, headers=admin).status_code == 404
    assert post().status_code == 201


@pytest.mark.parametrize("is_released", [False, True])
def test_deleting_a_redeemed_coupon_is_409_with_its_redemptions(
    client_with_auth, admin, is_released
):
    coupon = make_coupon()
    orders = [make_order(coupon_code=coupon.code) for _ in range(2)]
    redemptions = [str(order.redemption_id) for order in orders]
    if is_released:
        for order in orders:
            client_with_auth.post(f"/api/v2/orders/{order.pk}/cancel", headers=admin)
    answer = client_with_auth.delete(f"{URL}/{coupon.pk}", headers=admin | ANY)
    assert (answer.status_code, answer.json["code"]) == (409, "in-use")
    assert all(pk in answer.text for pk in redemptions)
    assert reload(coupon) is not None


# Access


@pytest.mark.parametrize("role", ["customer", "merchant"])
def test_only_admins_read_and_change_coupons(client_with_auth, role):
    headers, url = sign_in(make_user(role=role)), f"{URL}/{make_coupon().pk}"
    body = {"code": "Mine", "init_count": 1, "percent_off": 100}
    answers = [
        client_with_auth.get(URL, headers=headers),
        client_with_auth.get(url, headers=headers),
        client_with_auth.post(URL, json=body, headers=headers),
        client_with_auth.patch(url, json={"percent_off": 100}, headers=headers | ANY),
        client_with_auth.delete(url, headers=headers | ANY),
    ]
    assert [answer.status_code for answer in answers] == [403] * 5
    permissions = [answer.json["errors"][0]["permission"] for answer in answers]
    assert permissions == ["coupons:read"] * 2 + ["coupons:write"] * 3


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_coupons_need_a_token(client_with_auth, method):
    assert client_with_auth.open(URL, method=method).status_code == 401


@pytest.mark.parametrize("pk", ["x", "0", "01935f2e-7c1a-7b3e-9d3c-0123456789ab"])
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_a_coupon_that_does_not_exist_is_404(client_with_auth, admin, method, pk):
    answer = client_with_auth.open(f"{URL}/{pk}", method=method, json={}, headers=admin | ANY)
    assert answer.status_code == 404


def test_a_matching_if_none_match_is_304(client_with_auth, admin):
    url = f"{URL}/{make_coupon().pk}"
    etag = client_with_auth.get(url, headers=admin).headers["ETag"]
    answer = client_with_auth.get(url, headers=admin | {"If-None-Match": f"W/{etag}"})
    assert (answer.status_code, answer.headers["ETag"]) == (304, etag)


def test_a_repeated_creation_is_replayed(post, admin):
    key = admin | {"Idempotency-Key": "one"}
    first, second = post(key), post(key)
    assert (first.status_code, second.data) == (201, first.data)
    assert second.headers["Idempotent-Replayed"] == "true"
    assert post(key, init_count=11).status_code == 422
