"""A corpus → folders of songs, as other trainers read them."""
