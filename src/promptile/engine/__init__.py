"""The engine: what turns a model that sees one window into answers for a whole image."""
