"""Labelled and captioned data sets as stages of clips."""
