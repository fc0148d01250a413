"""All of open_clip's configurations and transformers' dual encoders: equal to the model's own path."""

from __future__ import annotations

import pytest

from tests.prompting import conformance


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*conformance.CONFIGURATIONS, *conformance.FAMILIES])
def test_bank_prompts_and_gradient_are_the_models_own(name: str) -> None:
    found = conformance.finding(name)
    assert found.exact, found
    # None of these models is altered: full length is for those that cannot share.
    assert found.shared == (not found.why_not)
    assert "changed" not in found.why_not


@pytest.mark.filterwarnings("ignore")
def test_the_page_has_the_table_of_this_test() -> None:
    page = conformance.PAGE.read_text(encoding="utf-8")
    if conformance.versions() not in page:
        pytest.skip(f"the page's table was not found with {conformance.versions()}")
    assert conformance.page_with_table(page) == page, "run python -m tests.prompting.conformance"
