"""What learns: control heads, transformers, and the net that puts them in front of a classifier."""
