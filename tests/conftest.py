"""The order of the tests, and how often property tests run."""

import hypothesis

LONGEST = ("test_backends.py", "test_resume.py", "test_reproduce.py")

# In the suite the same cases every time, so that a change is to blame for a failure; `make nightly` draws new ones.
hypothesis.settings.register_profile("suite", derandomize=True, deadline=None)
hypothesis.settings.register_profile("nightly", max_examples=2000, deadline=None)
hypothesis.settings.load_profile("suite")


def pytest_collection_modifyitems(items):
    """Run the longest files first, so that parallel workers finish at about the same time."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))
