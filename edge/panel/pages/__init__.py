"""The pages of the panel, in the order of the navigation."""

from edge.panel.page import Page
from edge.panel.pages import (
    accounts,
    health,
    images,
    io,
    layout_trial,
    live,
    login,
    recipes,
    review,
    review_part,
    sensitivity,
    taught,
    teach,
    zones,
)

PAGES: tuple[Page, ...] = (
    live.PAGE,
    review.PAGE,
    teach.PAGE,
    zones.PAGE,
    sensitivity.PAGE,
    recipes.PAGE,
    io.PAGE,
    health.PAGE,
    accounts.PAGE,
    login.PAGE,
    images.PAGE,
    review_part.PAGE,
    taught.PAGE,
    layout_trial.PAGE,
)
