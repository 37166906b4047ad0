"""One page on a run, in one file that loads nothing: what it says, shows, and does not say."""
