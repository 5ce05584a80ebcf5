"""The table of data layouts: one module for each."""

from training.data.layouts import ganomaly, ksdd2, mvtec, plain, uniad, visa
from training.data.layouts.base import Layout, WritableLayout

WRITABLE: dict[str, WritableLayout] = {
    "mvtec": mvtec,
    "uniad": uniad,
    "ganomaly": ganomaly,
    "visa": visa,
    "ksdd2": ksdd2,
}
# A plain folder is one that has no other layout.
LAYOUTS: dict[str, Layout] = {**WRITABLE, "plain": plain}
