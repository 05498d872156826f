"""The page in a real browser: it loads, it goes on by itself, a person approves an incident in it, and nothing complains.

    python dashboard.py BINARY [FOLDER FOR SCREENSHOTS]
"""

import pathlib
import re
import sys
import tempfile

from playwright.sync_api import expect, sync_playwright

from ground import TOKEN, Ground

ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


def many_tabs(page, ground):
    """More tabs than a browser has connections for one place: all of them are live, and orders get through."""
    tabs = [page.context.new_page() for _ in range(8)]
    for tab in tabs:
        tab.goto(ground.url)
    for tab in tabs:
        expect(tab.locator("#live")).to_have_text("live", timeout=20_000)
    last = tabs[-1]
    last.get_by_label("Admin token").fill(TOKEN)
    last.get_by_role("button", name="Pause: shop", exact=True).click()
    last.get_by_role("button", name="Yes").click()
    for tab in [page, *tabs]:
        # Sooner than pages are fetched again by themselves.
        expect(tab.locator("#app-shop h3")).to_contain_text("paused", timeout=8_000)
    # Whoever listened for the others may be closed.
    for tab in tabs[:-1]:
        tab.close()
    last.get_by_role("button", name="End the pause: shop").click()
    last.get_by_role("button", name="Yes").click()
    for tab in [page, last]:
        expect(tab.locator("#app-shop h3")).not_to_contain_text("paused", timeout=8_000)
        expect(tab.locator("#live")).to_have_text("live", timeout=20_000)
    last.close()


def lost_stream(page, ground, complaints):
    """A page whose stream is gone says that it is not live and as of when it is, and is live again by itself."""
    page.route("**/api/v1/events", lambda route: route.abort())
    page.reload()
    expect(page.locator("#live")).to_have_text(re.compile("not live: reconnecting; as of .* UTC"), timeout=20_000)
    page.unroute("**/api/v1/events")
    expect(page.locator("#live")).to_have_text("live", timeout=20_000)
    # The daemon itself does not answer any more.
    page.route("**/*", lambda route: route.abort())
    expect(page.locator("#live")).to_have_text(re.compile("no answer from the daemon; as of .* UTC"), timeout=20_000)
    page.unroute("**/*")
    expect(page.locator("#live")).to_have_text("live", timeout=30_000)
    complaints[:] = [text for text in complaints if "ERR_FAILED" not in text]


def main(binary, pictures):
    complaints = []
    with Ground(binary) as ground, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGS)
        page = browser.new_context(viewport={"width": 1200, "height": 900}, color_scheme="light").new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))

        def is_given_up(request):
            """The stream, and a page that is fetched anew just as another one is opened."""
            is_page = (request.method, request.resource_type) == ("GET", "fetch") and "/api/" not in request.url
            return "/events" in request.url or is_page and request.failure == "net::ERR_ABORTED"

        page.on("requestfailed", lambda request: None if is_given_up(request) else complaints.append(f"{request.url}: {request.failure}"))
        foreign = []
        page.on("request", lambda request: foreign.append(request.url) if not request.url.startswith(ground.url) else None)

        def shot(name, **more):
            page.screenshot(path=pictures / f"{name}.png", full_page=True, **more)

        ground.until("a steady app", lambda app: app["state"] == "steady")
        page.goto(ground.url)
        expect(page.locator("#live")).to_have_text("live", timeout=15_000)
        expect(page.locator("#app-shop .word").first).to_have_text("steady")
        # Nothing can be ordered without a token.
        expect(page.get_by_role("button", name="Pause: shop", exact=True)).to_be_disabled()
        shot("steady")

        # A bad release shows by itself, and waits for a person.
        ground.release("v2", is_bad=True)
        approve = page.get_by_role("button", name="Approve the rollback: shop")
        expect(approve).to_be_visible(timeout=30_000)
        expect(page.locator("#app-shop .word").first).to_have_text("incident")
        shot("awaiting")
        expect(approve).to_be_disabled()
        page.get_by_label("Admin token").fill("wrong")
        page.get_by_label("Your name").fill("ada")
        expect(approve).to_be_enabled()
        approve.click()
        expect(page.get_by_role("dialog")).to_be_visible()
        shot("asked")
        page.get_by_role("button", name="Yes").click()
        expect(page.locator("#said")).to_contain_text("admin token")
        complaints[:] = [text for text in complaints if "401" not in text]

        page.get_by_label("Admin token").fill(TOKEN)
        page.get_by_role("link", name="shop-").first.click()
        expect(page.locator("article .word").first).to_have_text("awaiting approval")
        expect(page.locator("#live")).to_have_text("live", timeout=15_000)
        # The token went along to this page of the same tab.
        page.get_by_role("button", name="Approve the rollback: shop").click()
        with page.expect_request("**/approve") as asked:
            page.get_by_role("button", name="Yes").click()
        # The yes is to the target that was shown, and to no other.
        assert asked.value.post_data_json["target_deployment"] in page.locator("main").inner_text(), asked.value.post_data
        expect(page.locator("#said")).to_have_text("approve: taken")
        expect(page.locator("ol.timeline")).to_contain_text("ada approved the rollback", timeout=15_000)
        expect(page.locator("article .word").first).to_have_text("soaking", timeout=30_000)
        expect(page.locator("article .word").first).to_have_text("committed", timeout=30_000)
        expect(page.locator("figure img")).to_be_visible()
        loaded = page.evaluate("() => [...document.images].every((image) => image.complete && image.naturalWidth > 0)")
        assert loaded, "the picture of the signal is not one"
        shot("incident")

        # As seen on a phone, in the dark.
        page.emulate_media(color_scheme="dark")
        page.set_viewport_size({"width": 390, "height": 844})
        shot("incident-phone-dark")
        wide = page.evaluate("() => document.documentElement.scrollWidth > document.documentElement.clientWidth")
        assert not wide, "the incident is wider than a phone"
        page.goto(ground.url)
        expect(page.locator("#live")).to_have_text("live", timeout=15_000)
        shot("index-phone-dark")
        wide = page.evaluate("() => document.documentElement.scrollWidth > document.documentElement.clientWidth")
        assert not wide, "the list is wider than a phone"

        # Paused from here, for a time, and resumed.
        page.get_by_role("button", name="Pause: shop", exact=True).click()
        page.get_by_label("For how long").select_option("1800")
        page.get_by_role("button", name="Yes").click()
        expect(page.locator("#app-shop")).to_contain_text("paused", timeout=15_000)
        assert ground.app()["pause"]["by"] == "ada", ground.app()["pause"]
        page.get_by_role("button", name="End the pause: shop").click()
        page.get_by_role("button", name="Yes").click()
        expect(page.locator("#said")).to_have_text("resume: taken; what else keeps hands off is shown here")
        expect(page.get_by_role("button", name="Pause: shop", exact=True)).to_be_visible(timeout=15_000)

        # What is opened stays so, and the focus stays on it, while the page goes on by itself.
        summary = page.locator("#app-shop summary")
        summary.focus()
        summary.press("Enter")
        probed = page.locator("#app-shop details dl").inner_text()
        page.wait_for_function("(was) => document.querySelector('#app-shop details dl').innerText !== was", arg=probed, timeout=25_000)
        assert page.evaluate("() => document.activeElement.tagName === 'SUMMARY' && document.activeElement.parentElement.open")

        # What a screen reader is told: one main part, headings in order, names on all controls.
        assert page.get_by_role("main").count() == 1
        nameless = page.evaluate(
            "() => [...document.querySelectorAll('button, a, input, select, img')].filter((e) => !(e.textContent.trim() "
            "|| e.labels?.length || e.alt || e.ariaLabel)).map((e) => e.outerHTML)"
        )
        assert not nameless, nameless
        orders = page.locator("button[data-post]").evaluate_all("(all) => all.map((button) => button.ariaLabel)")
        assert orders and all(name.endswith(": shop") for name in orders), orders

        many_tabs(page, ground)
        lost_stream(page, ground, complaints)
        shot("reconnected")
        browser.close()
    assert not complaints, complaints
    assert not foreign, foreign
    print("the page works in Chromium: live, approve, pause; no complaint of the console, nothing foreign loaded")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(sys.argv[1], pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else scratch))
