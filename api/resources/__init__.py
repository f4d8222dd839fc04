"""The resources of the JSON API: each module makes the operations of one of them."""
