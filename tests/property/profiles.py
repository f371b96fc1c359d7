"""How hard the property tests try: `FOREBAY_PROFILE=thorough` for a long night.

Every example is a number times the profile's factor.  Nothing may depend on
time, so there are no deadlines.
"""

import os

from hypothesis import HealthCheck, Phase, settings

_FACTORS = {"quick": 0.2, "default": 1.0, "thorough": 20.0}
FACTOR = _FACTORS[os.environ.get("FOREBAY_PROFILE", "default")]


_PHASES = (Phase.explicit, Phase.reuse, Phase.generate)


def trying(examples: int, steps: int = 50, is_seeded: bool = False) -> settings:
    """Settings for a number of examples under the default profile.

    A seeded example is a long random story: a smaller seed is not a shorter
    story, so the first seed that fails is the one to print.
    """
    return settings(
        max_examples=max(1, int(examples * FACTOR)),
        stateful_step_count=steps,
        deadline=None,
        print_blob=True,
        phases=_PHASES if is_seeded else (*_PHASES, Phase.shrink),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
