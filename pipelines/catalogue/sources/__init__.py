"""Where catalogues come from: which of their files hold tracks, and how these are said."""
