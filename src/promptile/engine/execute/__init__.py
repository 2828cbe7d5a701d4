"""Work over tiles: one after the other, in threads, in processes, or on a dask cluster."""
