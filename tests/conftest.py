"""The order of the tests."""

LONGEST = ("test_backends.py", "test_resume.py", "test_reproduce.py")


def pytest_collection_modifyitems(items):
    """The longest files first, so that processes that share the tests end at about the same time."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))
