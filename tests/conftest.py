"""The order of the tests."""

LONGEST = ("test_backends.py", "test_resume.py", "test_reproduce.py")


def pytest_collection_modifyitems(items):
    """Run the longest files first, so that parallel workers finish at about the same time."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))
