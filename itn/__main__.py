"""``python -m itn``: the command line without its script."""

from itn.cli.main import main

raise SystemExit(main())
