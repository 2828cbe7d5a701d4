"""`basin` for volumes: many cheap hypotheses about the object, ranked, refined and blended."""
