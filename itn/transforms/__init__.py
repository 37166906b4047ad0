"""The screening table: transformations F(I, v) by a magnitude v."""
