"""A corpus → manifests of it, as others' libraries read them."""
