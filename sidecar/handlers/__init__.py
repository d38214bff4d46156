"""Thin edges of the methods: validate, delegate, shape. One file per channel family."""
