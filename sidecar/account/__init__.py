"""What Scalix's own services know about the user: the Pro budget, and the help chat."""
