"""The pages of the panel, in the order of the navigation."""

from edge.panel.page import Page
from edge.panel.pages import accounts, health, images, io, live, login, recipes, sensitivity

PAGES: tuple[Page, ...] = (
    live.PAGE,
    sensitivity.PAGE,
    recipes.PAGE,
    io.PAGE,
    health.PAGE,
    accounts.PAGE,
    login.PAGE,
    images.PAGE,
)
