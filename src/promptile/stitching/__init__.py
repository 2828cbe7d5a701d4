"""From answers of tiles to one labelling: match in the overlap, join, paint from the best view."""
