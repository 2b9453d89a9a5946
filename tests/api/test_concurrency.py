"""Writers at the same time, on the service as it runs in production."""

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.servers import TIMEOUT

ROUNDS = 50
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def run_simultaneously():
    """Return what calls functions at the same moment, and their answers in the same order."""
    with ThreadPoolExecutor(2) as pool:

        def run(*functions):
            start = Barrier(len(functions))

            def one(function):
                start.wait(TIMEOUT)
                return function()

            return list(pool.map(one, functions))

        yield run


def create(server, kind="ingredients", **values):
    answer = server.request("POST", f"/api/v2/{kind}", json.dumps(values), **JSON)
    assert answer.status == 201, answer.body
    return answer.headers["Location"], answer.headers["ETag"]


def patch(server, url, etag, **changes):
    headers = JSON | {"If-Match": etag}
    return lambda: server.request("PATCH", url, json.dumps(changes), **headers)


def delete(server, url, etag):
    return lambda: server.request("DELETE", url, **{"If-Match": etag})


def statuses(answers):
    return sorted(answer.status for answer in answers)


def test_of_two_writers_with_one_etag_one_wins_always(shared_gunicorn, run_simultaneously):
    url, etag = create(shared_gunicorn, name="Mandrake")
    for number in range(ROUNDS):
        names = [f"{number} left", f"{number} right"]
        answers = run_simultaneously(
            *(patch(shared_gunicorn, url, etag, name=name) for name in names)
        )
        assert statuses(answers) == [200, 412]
        won, lost = sorted(answers, key=lambda answer: answer.status)
        assert json.loads(lost.body)["current"] == json.loads(won.body)
        etag = won.headers["ETag"]
        assert lost.headers["ETag"] == etag


def test_of_two_writers_of_one_recipe_one_wins_always(shared_gunicorn, run_simultaneously):
    parts = [create(shared_gunicorn, name=name)[0].rpartition("/")[2] for name in "ab"]
    url, etag = create(shared_gunicorn, "potions", name="Brew", ingredients=parts)
    for number in range(ROUNDS):
        recipes = [
            [{"pk": pk, "amount": str(number + 1)} for pk in pks] for pks in (parts, parts[::-1])
        ]
        answers = run_simultaneously(
            *(patch(shared_gunicorn, url, etag, ingredients=recipe) for recipe in recipes)
        )
        assert statuses(answers) == [200, 412]
        etag = next(answer.headers["ETag"] for answer in answers if answer.status == 200)


def test_of_two_deletes_with_one_etag_one_wins_always(shared_gunicorn, run_simultaneously):
    for _ in range(ROUNDS // 2):
        url, etag = create(shared_gunicorn, name="Mandrake")
        answers = run_simultaneously(*[delete(shared_gunicorn, url, etag)] * 2)
        assert statuses(answers) == [204, 404]


def test_of_a_delete_and_a_change_with_one_etag_one_wins_always(
    shared_gunicorn, run_simultaneously
):
    for _ in range(ROUNDS // 2):
        url, etag = create(shared_gunicorn, name="Mandrake")
        answers = run_simultaneously(
            delete(shared_gunicorn, url, etag), patch(shared_gunicorn, url, etag, name="Sage")
        )
        assert statuses(answers) in ([204, 404], [200, 412])


def test_an_ingredient_goes_or_the_potion_that_wants_it_is_refused(
    shared_gunicorn, run_simultaneously
):
    for _ in range(ROUNDS // 2):
        url, etag = create(shared_gunicorn, name="Mandrake")
        body = json.dumps({"name": "Brew", "ingredients": [url.rpartition("/")[2]]})
        answers = run_simultaneously(
            delete(shared_gunicorn, url, etag),
            lambda body=body: shared_gunicorn.request("POST", "/api/v2/potions", body, **JSON),
        )
        assert [answer.status for answer in answers] in ([204, 422], [409, 201])
        if answers[1].status == 422:
            [entry] = json.loads(answers[1].body)["errors"]
            assert (entry["pointer"], entry["code"]) == ("#/ingredients/0", "unknown-reference")


def test_recipes_that_are_written_crosswise_do_not_stand_in_each_others_way(
    shared_gunicorn, run_simultaneously
):
    pks = [create(shared_gunicorn, name=name)[0].rpartition("/")[2] for name in "abcdef"]
    urls = [create(shared_gunicorn, "potions", name="Brew", ingredients=pks)[0] for _ in range(2)]
    for _ in range(ROUNDS // 2):
        pks = pks[1:] + pks[:1]
        answers = run_simultaneously(
            patch(shared_gunicorn, urls[0], "*", ingredients=pks),
            patch(shared_gunicorn, urls[1], "*", ingredients=pks[::-1]),
        )
        assert statuses(answers) == [200, 200]
