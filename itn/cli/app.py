"""The command ``itn``, to which each module of commands adds its own."""

from cyclopts import App, Parameter

from itn.runtime.provenance import package_version

app = App(
    name="itn",
    help="To which transformations is a trained image classifier invariant, and how far?",
    version=package_version("itn") or "unknown",
    help_format="markdown",
    default_parameter=Parameter(negative=()),
    suppress_keyboard_interrupt=False,  # ours names what was kept
)
