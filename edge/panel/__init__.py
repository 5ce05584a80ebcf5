"""The operator's web pages: a process that reads records and asks a line at its control socket.

It never touches the hot path: a panel that hangs, dies or is flooded changes nothing for the line.

The way of a request: `server` (connections, headers in time), `app` (routes), `endpoint` (origin,
session, role, form, token, reason), the handler of a page on a thread, `rendering` (templates).
`problems` turns every exception into a page that says what to do.

To add a page NAME:

- `pages/NAME.py`: functions `handler(visit: Visit) -> Response`, and `PAGE = Page("NAME", routes)`;
  one line in `pages/__init__.py`. The first route is the one in the navigation. A page imports no
  other page. What it needs beside its handlers is in a folder of that name: `review/`, `zones/`.
- `templates/NAME.html`: `{% extends "base.html" %}`, blocks `title`, `head`, `content`. No logic
  but loops and conditions. No inline style or script: the Content-Security-Policy refuses them.
  Values for a script: `<script type="application/json" id="data">{{ data|data }}</script>`.
- `static/NAME.js` (an ES module) and `static/NAME.css`, where it needs them; `static/panel.css` has
  the colours, cards, forms and tables of all pages.
- `locales/{en,de,zh}/NAME.yaml`: sections `page:` (its name in the navigation), `NAME:`, `action:`
  (in the audit log). `t('NAME.key', value=...)` in templates, `visit.texts(...)` in handlers,
  `visit.texts.below("NAME")` for a script. Sections of several files are laid together.
- `tests/unit/edge/panel/pages/test_NAME.py`, with `tests/doubles/panel.py`; in a browser,
  `tests/system/test_panel_NAME.py`.

A handler has in `visit`: `line` (the line of `/lines/{line}/...`: `config`, `records`, `reader()`,
`ask(command)`), `panel` (the shared services), `account`, `may(role)`, `form`, `field(name)`,
`texts`, `render(template, **values)`, `back(path)`. What it raises becomes a page: `Refused(status,
"problem.no_line", name=...)`, every LinewardenError, OSError, sqlite3 errors.

The role of a route decides alone who sees its controls: `{% if may_send(path) %}` in templates.

A route that changes something is `Route(path, handler, role=..., changes=True)`: a POST, whose form
has `csrf` and `why` (`macros.html` writes it: `{% call change_form(...) %}`). The handler does it
within `with visit.change("action_key", subject, undo=Undo(path, form)):`, which writes the audit
log first. `undo` names the route and the form that take the change back; the page Health offers it.
A script sends the same form with `fetch`, the token in `X-CSRF-Token`, and `Accept:
application/json`; a refusal is then `{"title", "message"}`.

What takes packages, memory or time that the panel has not is done by the program as a process:
`command.linewarden` for seconds, `jobs` for what outlives the page and the panel.

Pictures come by `/lines/LINE/parts/TRIGGER/images/PLACE?size=SIZE` (`thumbnails.SIZES`). Live
values come as server-sent events: `EventStream` over `panel.feeds.follow(line)`, one observer for
all pages.
"""
