"""The order of the tests, what attacks they stand for, and how often property tests run."""

import os

import hypothesis

LONGEST = ("test_backends.py", "test_resume.py", "test_reproduce.py")

# In the suite the same cases every time, so that a change is to blame for a failure; `make nightly` draws new ones.
hypothesis.settings.register_profile("suite", derandomize=True, deadline=None)
hypothesis.settings.register_profile("nightly", max_examples=2000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


def pytest_collection_modifyitems(items):
    """Run the longest files first, so that parallel workers finish at about the same time.

    The report of each test says what it attacks, for profiling/reliability.py.
    """
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))
    for item in items:
        for mark in item.iter_markers("attack"):
            area, attack = mark.args
            item.user_properties += [("area", area), ("attack", attack)]
