from __future__ import annotations

import sys

from shareai_node.cli import main

sys.exit(main())
