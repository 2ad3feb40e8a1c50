"""Labelled and captioned data sets as clip sources."""
