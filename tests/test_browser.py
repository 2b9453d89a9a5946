"""Swagger UI in a real browser: it works, it is quiet, and it asks nobody but the service."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from alchemist import examples
from alchemist.config import database_url
from alchemist.potions.schemas import CLAY, HONEY
from tests.servers import Gunicorn

pytestmark = pytest.mark.browser

CHROMIUM = "/usr/bin/chromium"
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
def service(gunicorn: Gunicorn) -> str:
    """The address of the service, furnished with the examples."""
    url = database_url(gunicorn.environment["DATABASE_URL"])
    examples.load(url, lambda _done, _total: None)
    return f"http://127.0.0.1:{gunicorn.port}"


@pytest.fixture
def page(browser: Browser, service: str) -> Iterator[Page]:
    """A page that says nothing to the console, fails at nothing and asks no other host."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000}, base_url=service)
    noise: list[str] = []
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
    assert noise == []


def operation(page: Page, name: str) -> Locator:
    """Open the operation of that operationId and return its block."""
    block = page.locator(f"[id^=operations-][id$=-{name}]")
    block.locator(".opblock-summary-control").click()
    expect(block.locator(".opblock-body")).to_be_visible()
    return block


def status_of_executed(block: Locator) -> str:
    block.get_by_role("button", name="Execute").click()
    live = block.locator(".live-responses-table .response-col_status").last
    expect(live).to_be_visible()
    return live.inner_text().split()[0]


def choose(page: Page, version: str) -> None:
    page.get_by_label("Select a definition").select_option(label=version)
    expect(page.locator(".info .url")).to_have_text(f"/api/{version}/openapi.json")


def test_a_create_and_a_list_can_be_executed(page):
    page.goto("/api/docs")
    assert status_of_executed(operation(page, "postIngredients")) == "201"
    listed = operation(page, "getIngredients")
    assert status_of_executed(listed) == "200"
    expect(listed.locator(".live-responses-table")).to_contain_text("Left-hand nettle")


@pytest.mark.parametrize("version", ["v2", "v1"])
def test_every_operation_can_be_executed_as_it_is_shown(page, version):
    document = page.request.get(f"/api/{version}/openapi.json").json()
    page.goto("/api/docs")
    choose(page, version)
    for path in document["paths"].values():
        for documented in path.values():
            block = operation(page, documented["operationId"])
            assert status_of_executed(block) == min(documented["responses"]), documented
            block.locator(".opblock-summary-control").click()


def test_a_list_of_keys_can_be_filled_in(page):
    page.goto("/api/docs")
    listed = operation(page, "getPotions")
    filter = listed.locator("tr[data-param-name=brewable_with]")
    for number, key in enumerate((CLAY, HONEY)):
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
    page.goto("/api/docs#/potions/getOnePotion")
    expect(page.locator("#operations-potions-getOnePotion .opblock-body")).to_be_visible()


def test_a_problem_has_a_readable_page(page):
    page.goto("/problems")
    page.get_by_role("link", name="stale").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("412 Precondition Failed")
    expect(page.locator("pre")).to_contain_text('"code": "stale"')


def test_the_front_door_leads_to_the_documentation(page):
    page.goto("/")
    expect(page).to_have_title("API documentation · Alchemist")
    expect(page.locator(".info .title")).to_contain_text("Alchemist")
