"""Who runs where: everything that knows Ray.

Ray reads its environment when it is imported, so it is set here, before any
module of this package can import Ray.  Workers run at the priority of this
process (Ray's default, niceness 15, would starve them beside anything else);
whoever reaches the ports of this Ray needs a token that nobody else has;
nothing is reported to anybody.
"""

import os
import secrets

os.environ.setdefault("RAY_worker_niceness", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
