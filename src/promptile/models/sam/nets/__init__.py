"""The networks in torch; parameters are named as in the files of segment-anything."""
