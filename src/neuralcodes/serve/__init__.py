"""A collection over HTTP: a page for people, an API for programs.

In: a `Collection`, or several, and `Settings`.  Out: `create_app`, an ASGI application, which `run`
serves. Public: these, and `Client`. What the page and the API may ask is in `service`.
"""
