"""Whether groups are served alike: gaps between outcomes, with guarantees that hold however often one looks."""
