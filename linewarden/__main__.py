"""`python -m linewarden`."""

import sys

from linewarden.command_line import main

sys.exit(main())
