"""A collection over HTTP: a page for people, an API for programs.

In: a `Collection`, or several, and `Settings`.  Out: `create_app`, an ASGI application; `run`
serves it. `services` gives each collection a `Service` and an address of its own.

What the page may call, and nothing else of the collection: the public functions of
`service.Service` (a request's is at `request.scope["service"]`), which give the types of `models`:

- `search(models.Search(id=[…], upload=[…], text=…, exclude=[…], crop=…, filter=…, k=…, page=…))`,
  `upload(data)`, `image(id)`, `images(after, k, filter)`, `info()`, `facets()`, `bad()`
- `explain(image, by=[…], upload=[…], crop=…)`, `heat_picture(…)` (JPEG); `carry(image, other)`
- `add(pictures, metadata)`, `remove(ids)`; `sync()`, `compact()` begin jobs; `jobs()`, `job(n)`,
  `stop(n)`
- `duplicates.find()` (a job), `.page(page, k, undecided)`, `.group(key)`, `.choose(choice)`,
  `.export()`
- addresses for `<img>`: `models.Image.thumbnail` (add `&side=320` for larger: 160, 320, 640, 1280),
  `models.Upload.thumbnail`, /api/v1/images/ID/explanation/{query,image}?by=ID

They may be called from any thread, and they block: write routes as `def`, not `async def`.
Refusals are `errors.RefusedError` (message, status); the application answers them as JSON unless
the page's route catches them. Answers get a strict content security policy (`security.POLICY`: no
inline script or style, no `eval`, nothing from outside); forms that change something need no token
of their own, `security.Guard` checks where they come from. Static files: a fixed list; see `docs`.
"""
