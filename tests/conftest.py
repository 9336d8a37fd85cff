"""What holds for every test: a property is tried on the same examples each time, or on others with NBMLOPS_TEST_EXAMPLES=N."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("nbmlops", deadline=None, derandomize="NBMLOPS_TEST_EXAMPLES" not in os.environ)
settings.load_profile("nbmlops")
