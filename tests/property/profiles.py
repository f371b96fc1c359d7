"""How hard the property tests try: `FOREBAY_PROFILE=thorough` for a long night.

Every example is a number times the profile's factor.  Nothing may depend on
time, so there are no deadlines.
"""

import os

from hypothesis import HealthCheck, settings

_FACTORS = {"quick": 0.2, "default": 1.0, "thorough": 20.0}
FACTOR = _FACTORS[os.environ.get("FOREBAY_PROFILE", "default")]


def trying(examples: int, steps: int = 50) -> settings:
    """Settings for a number of examples under the default profile."""
    return settings(
        max_examples=max(1, int(examples * FACTOR)),
        stateful_step_count=steps,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
