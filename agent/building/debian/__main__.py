"""Python runs a folder that holds this file, and finds the agent and what it needs in that folder first."""

import sys

from shareai_node.cli import main

sys.exit(main())
