"""Swagger UI in a real browser: it works, it is quiet, and it asks nobody but the service."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright
from sqlalchemy import URL

from alchemist.cli import sample_data
from alchemist.domains.potions.schemas import EXAMPLE_CLAY_PK, EXAMPLE_HONEY_PK
from tests.servers import Gunicorn
from tests.test_schemathesis import admin_token

pytestmark = pytest.mark.browser

CHROMIUM = "/usr/bin/chromium"
# Every which operation is executed: each takes seconds of a browser, and all of them are executed
# as they are shown, without one, in `test_openapi.py`.
EVERY = int(os.environ.get("BROWSER_EVERY", "4"))
# Without these Chromium asks its maker's hosts for updates; a container has no sandbox to give.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def load_examples(fresh_database: URL) -> Callable[[], None]:
    """Return what brings the examples back, also those that were deleted."""

    def load() -> None:
        sample_data.load(fresh_database, lambda _done, _total: None)

    load()
    return load


@pytest.fixture
def service(gunicorn: Gunicorn, load_examples: Callable[[], None]) -> str:
    """The address of the service with the sample data."""
    return f"http://127.0.0.1:{gunicorn.port}"


@pytest.fixture
def page(browser: Browser, service: str) -> Iterator[Page]:
    noise: list[str] = []
    with watched(browser, service, noise) as page:
        yield page
    assert noise == []


@contextmanager
def watched(browser: Browser, service: str, noise: list[str]) -> Iterator[Page]:
    """Give a page, and add to `noise` what it tells the console, fails at or asks other hosts."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000}, base_url=service)
    page.on("console", lambda message: noise.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: noise.append(f"error: {error}"))
    page.on("requestfailed", lambda request: noise.append(f"failed: {request.url}"))

    def note_other_hosts(request) -> None:
        address = urlsplit(request.url)
        if address.scheme != "data" and f"{address.scheme}://{address.netloc}" != service:
            noise.append(f"another host: {request.url}")

    page.on("request", note_other_hosts)
    yield page
    page.close()


def operation(page: Page, name: str) -> Locator:
    """Open the operation of that operationId and return its block."""
    block = page.locator(f"[id^=operations-][id$=-{name}]")
    block.locator(".opblock-summary-control").click()
    expect(block.locator(".opblock-body")).to_be_visible()
    return block


def status_of_executed(block: Locator, awaited: str = "") -> str:
    """Execute the operation; `awaited` is a status that differs from that of the time before."""
    block.get_by_role("button", name="Execute").click()
    live = block.locator(".live-responses-table .response-col_status").last
    expect(live).to_contain_text(awaited)
    return live.inner_text().split()[0]


def choose(page: Page, version: str) -> None:
    page.get_by_label("Select a definition").select_option(label=version)
    expect(page.locator(".info .url")).to_have_text(f"/api/{version}/openapi.json")


def test_a_create_and_a_list_can_be_executed(page):
    page.goto("/api/docs")
    assert status_of_executed(operation(page, "createIngredient")) == "201"
    listed = operation(page, "listIngredients")
    assert status_of_executed(listed) == "200"
    expect(listed.locator(".live-responses-table")).to_contain_text("Left-hand nettle")


def test_who_has_authorized_themselves_may_create(browser, gunicorn_with_auth):
    noise: list[str] = []
    service = f"http://127.0.0.1:{gunicorn_with_auth.port}"
    with watched(browser, service, noise) as page:
        page.goto("/api/docs")
        created = operation(page, "createIngredient")
        assert status_of_executed(created) == "401"
        # The browser itself notes the refusal.
        assert len(noise) == 1
        assert "401" in noise.pop()
        authorize(page, admin_token(gunicorn_with_auth))
        assert status_of_executed(created, "201") == "201"
        page.reload()
        assert status_of_executed(operation(page, "listUsers")) == "200"
    assert noise == []


def authorize(page: Page, token: str) -> None:
    page.locator(".auth-wrapper .authorize").first.click()
    dialog = page.locator(".dialog-ux")
    dialog.locator("input").fill(token)
    dialog.get_by_role("button", name="Apply credentials").click()
    dialog.get_by_role("button", name="Close").click()


@pytest.mark.parametrize("version", ["v2", "v1"])
def test_operations_can_be_executed_as_they_are_shown(page, load_examples, version):
    document = page.request.get(f"/api/{version}/openapi.json").json()
    page.goto("/api/docs")
    choose(page, version)
    operations = [pair for path in document["paths"].values() for pair in path.items()]
    for method, documented in operations[::EVERY]:
        block = operation(page, documented["operationId"])
        assert status_of_executed(block) == min(documented["responses"]), documented
        block.locator(".opblock-summary-control").click()
        if method != "get":
            # It may have deleted what the next one shows.
            load_examples()


def test_a_list_of_keys_can_be_filled_in(page):
    page.goto("/api/docs")
    listed = operation(page, "listPotions")
    filter = listed.locator("tr[data-param-name=brewable_with]")
    for number, key in enumerate((EXAMPLE_CLAY_PK, EXAMPLE_HONEY_PK)):
        filter.get_by_role("button", name="Add string item").click()
        filter.locator("input").nth(number).fill(key)
    assert status_of_executed(listed) == "200"
    expect(listed.locator(".live-responses-table")).to_contain_text("Beekeeper's Apology")


def test_the_versions_can_be_changed_to_and_fro(page):
    page.goto("/api/docs")
    for version, said in (("v1", "deprecated"), ("v2", "If-None-Match")):
        choose(page, version)
        expect(page.locator(".info")).to_contain_text(said)


def test_the_chosen_version_has_an_address(page):
    page.goto("/api/docs")
    choose(page, "v1")
    expect(page.locator(".info")).to_contain_text("deprecated")
    page.reload()
    expect(page.locator(".info")).to_contain_text("deprecated")


def test_an_operation_has_an_address(page):
    page.goto("/api/docs#/potions/getPotion")
    expect(page.locator("#operations-potions-getPotion .opblock-body")).to_be_visible()


def test_a_problem_has_a_readable_page(page):
    page.goto("/problems")
    page.get_by_role("link", name="precondition-failed").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("412 Precondition Failed")
    expect(page.locator("pre")).to_contain_text('"code": "precondition-failed"')


def test_the_front_door_leads_to_the_documentation(page):
    page.goto("/")
    expect(page).to_have_title("API documentation · Alchemist")
    expect(page.locator(".info .title")).to_contain_text("Alchemist")
