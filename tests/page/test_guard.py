"""Who is answered by the page.

A failure lets any web page that is open in the operator's browser read receipts, or run searches that cost money.
"""

import pytest
from starlette.datastructures import Headers

from ops.page.guard import POLICY, allowed_hosts, refusal

HOSTS = allowed_hosts(8080)
OWN = {"host": "127.0.0.1:8080"}


def refused(method: str, path: str = "/", **headers: str) -> str | None:
    return refusal(
        method, path, Headers({**OWN, **{name.replace("_", "-"): value for name, value in headers.items()}}), HOSTS
    )


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080"])
def test_the_servers_own_names_are_answered(host):
    assert refused("GET", host=host) is None


@pytest.mark.parametrize(
    "host",
    ["", "127.0.0.1", "127.0.0.1:80", "evil.example", "evil.example:8080", "127.0.0.1:8080.evil.example", "[::1]:8080"],
)
def test_another_host_is_refused_because_its_name_may_be_made_to_lead_here(host):
    assert refused("GET", host=host) == "another host is meant"
    assert refusal("GET", "/", Headers({}), HOSTS) == "another host is meant"
    both = Headers(raw=[(b"host", b"127.0.0.1:8080"), (b"host", host.encode())])
    assert refusal("GET", "/", both, HOSTS) == "another host is meant"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_another_sites_page_asks_for_is_refused_but_a_link_to_the_first_page_leads_there(site):
    for mode in ("no-cors", "cors", "navigate"):
        assert refused("GET", "/search", sec_fetch_site=site, sec_fetch_mode=mode)
    assert refused("GET", "/", sec_fetch_site=site, sec_fetch_mode="no-cors")
    assert refused("GET", "/", sec_fetch_site=site, sec_fetch_mode="navigate") is None


@pytest.mark.parametrize("site", ["none", "same-origin"])
def test_what_a_person_types_and_what_an_own_page_asks_for_is_answered(site):
    assert refused("GET", "/search", sec_fetch_site=site, sec_fetch_mode="navigate") is None


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_a_method_that_may_change_something_needs_an_origin_of_this_server(method):
    assert refused(method, origin="http://127.0.0.1:8080") is None
    assert refused(method, origin="http://127.0.0.1:8080", sec_fetch_site="same-origin") is None
    assert refused(method)
    for origin in ("null", "http://127.0.0.1:9090", "https://127.0.0.1:8080", "http://evil.example"):
        assert refused(method, origin=origin)
    assert refused(method, origin="http://127.0.0.1:8080", sec_fetch_site="cross-site")


def test_the_policy_allows_files_of_this_server_and_nothing_inline():
    assert POLICY.startswith("default-src 'none'; ")
    assert "unsafe" not in POLICY
    assert "http" not in POLICY
    assert "*" not in POLICY
    assert "frame-ancestors 'none'" in POLICY
