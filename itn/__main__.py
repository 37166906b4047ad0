"""``python -m itn``: the command line without its script."""

from itn.cli import main

raise SystemExit(main())
