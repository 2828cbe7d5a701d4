"""The napari plugin: everything that `napari.yaml` names."""
