"""The reference in the documentation is that of the docstrings, and leaves nobody out."""

from pathlib import Path

import reference

PAGE = Path(__file__).resolve().parents[3] / "docs/python-reference.md"


def test_the_page_is_what_the_docstrings_say() -> None:
    assert PAGE.read_text() == reference.page(), "make it anew: python reference.py > ../../docs/python-reference.md"


def test_everything_that_is_exported_is_in_it() -> None:
    for module in reference.MODULES:
        for name in reference._exported(reference._parsed(module)):
            found = reference._found(module, name)
            assert found is not None, f"{module}.{name} is not found"
            assert found[1], f"{module}.{name} has no docstring"
