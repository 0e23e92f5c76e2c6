"""`python -m providers.local.balancer --dir DIR` runs the parent process."""

import sys

from providers.local.balancer.parent import main

sys.exit(main())
