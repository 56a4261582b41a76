"""The page that `pynet play` serves: drawing, looking into a network and training in the browser."""
