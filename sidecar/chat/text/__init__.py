"""From a model's deltas to the stored text: thinking blocks, tags, patches and seams. Pure code, no I/O."""
