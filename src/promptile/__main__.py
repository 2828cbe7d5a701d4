"""`python -m promptile`: the command line."""

import sys

from promptile.cli import main

sys.exit(main())
