"""`python -m planner.cli`."""

from planner.cli.main import main

raise SystemExit(main())
