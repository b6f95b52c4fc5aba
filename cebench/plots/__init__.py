"""Sheets of images, curves of logged values, charts of detection."""
