"""The pages of the panel, in the order of the navigation."""

from edge.panel.page import Page
from edge.panel.pages import health, images, live, login

PAGES: tuple[Page, ...] = (
    live.PAGE,
    health.PAGE,
    login.PAGE,
    images.PAGE,
)
