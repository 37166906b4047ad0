"""What figures share, and pictures of networks and of their training."""
