"""Configuration of the panel: `linewarden panel --config panel.yaml`."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from socket import gethostname
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator, model_validator

from edge.panel.texts import LANGUAGES
from edge.peers.certificates import tls_flaws
from edge.peers.resources import ListeningPort
from inspection.config.claims import Claim, Claimant
from inspection.config.flaws import Flaw, refuse
from inspection.config.loading import ConfigPath, StrictModel, reads_files
from inspection.config.resources import Use, UsedPath

LineName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=64)]
Address = Annotated[str, Field(min_length=1)]
HostName = Annotated[str, Field(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)*$")]


def is_ip_address(text: str) -> bool:
    """Returns whether a text is an IP address, of either version."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


class TlsFiles(StrictModel):
    """The certificate of the panel and its key, both PEM."""

    certificate_file: ConfigPath
    key_file: ConfigPath

    @model_validator(mode="after")
    def _go_together(self, info: ValidationInfo) -> TlsFiles:
        if reads_files(info):
            refuse(tls_flaws(None, self.certificate_file, self.key_file))
        return self


class ProxyConfig(StrictModel):
    """A reverse proxy that has already authenticated the person.

    Attributes:
        peers: addresses from which its requests come; from any other, the headers count nothing.
        user_header: header with the name of the person, who needs an account at the panel.
        origin: address of the panel in the browser, as `https://panel.plant`.
    """

    peers: Annotated[tuple[Address, ...], Field(min_length=1)]
    user_header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")] = "X-Remote-User"
    origin: Annotated[str, Field(pattern=r"^https?://[^/\s]+$")]

    def sends(self, peer: str) -> bool:
        """Returns whether a request from this address comes through the proxy."""
        return peer in self.peers

    @field_validator("peers")
    @classmethod
    def _are_addresses(cls, peers: tuple[str, ...]) -> tuple[str, ...]:
        for peer in peers:
            if not is_ip_address(peer):
                raise ValueError(f"{peer!r} is not an IP address")
        return peers


class TeachConfig(StrictModel):
    """The page Teach.

    Attributes:
        import_root: folders below it can be imported; None for none.
        goal: number of good parts to collect.
        min_free_bytes: the disk keeps so much for others, such as the records of the lines.
    """

    import_root: ConfigPath | None = None
    goal: Annotated[int, Field(ge=1, le=5000)] = 20
    min_free_bytes: Annotated[int, Field(ge=0)] = 2_000_000_000


class PanelConfig(Claimant):
    """The panel: its address, the lines it shows, the people who may use it.

    Attributes:
        host: address to listen at; the device itself alone unless another is given.
        tls: None for plain HTTP.
        lines: the configuration of each line that it shows, by the line's name.
        folder: of the panel's own files: accounts, audit log, thumbnails, layouts, jobs, collected
            images.
        good_parts: folder of each line with images of good parts, which a trial of a layout
            measures; in a folder for each recipe, named as it, where there is one.
        data_sets: folder for data sets of labelled parts; None: nobody can make any here.
        session_hours: a person logs in again after so long.
        open_to_viewers: whether pages of viewers need no login, as for a screen above the line.
        names: of the panel in the network, besides its IP addresses and the name of the device.
            Under any other, a page needs a login though it is open to viewers.
        thumbnails_max_bytes: limit of the files with small pictures.
        connections_max: connections at one time.
        streams_max: pages at one time that show a running line.
        teach: the page Teach.
        jobs: whether the panel starts the process that runs its jobs, or a service of the device
            watches for them: `linewarden-jobs.path`.
        language: of people whose browser asks for none that the panel has.
    """

    schema_version: Literal[1] = 1
    host: Address = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 9600
    tls: TlsFiles | None = None
    proxy: ProxyConfig | None = None
    lines: dict[LineName, ConfigPath] = Field(min_length=1)
    folder: ConfigPath
    good_parts: dict[LineName, ConfigPath] = Field(default_factory=dict)
    data_sets: ConfigPath | None = None
    session_hours: Annotated[float, Field(gt=0, le=24 * 31)] = 12.0
    open_to_viewers: bool = False
    names: tuple[HostName, ...] = ()
    thumbnails_max_bytes: Annotated[int, Field(ge=1_000_000)] = 200_000_000
    connections_max: Annotated[int, Field(ge=4, le=200)] = 100
    streams_max: Annotated[int, Field(ge=1)] = 50
    teach: TeachConfig = TeachConfig()
    jobs: Literal["process", "service"] = "process"
    language: str = "en"

    def is_own_name(self, name: str) -> bool:
        """Returns whether a browser that calls the panel so has its address from the plant.

        A page of the internet can give its own name the address of the panel (DNS rebinding), and
        would see what the person's browser sees without a login. An IP address is no name.
        """
        device = gethostname().lower()
        names = {"localhost", device, f"{device}.local", *self.names}
        if self.proxy is not None:
            names.add(urlsplit(self.proxy.origin).hostname or "")
        return name in names or is_ip_address(name)

    def claims(self) -> Iterable[Claim]:
        """Returns the claims to the port and to the folder."""
        yield Claim(("port",), ListeningPort(self.host, self.port))
        yield Claim(("folder",), UsedPath(self.folder, Use.FOLDER, "files of the panel"))
        if self.data_sets is not None:
            yield Claim(("data_sets",), UsedPath(self.data_sets, Use.FOLDER, "data sets"))

    @field_validator("language")
    @classmethod
    def _is_known(cls, language: str) -> str:
        if language not in LANGUAGES:
            raise ValueError(f"no language {language!r}: known are {', '.join(LANGUAGES)}")
        return language

    @model_validator(mode="after")
    def _good_parts_are_of_its_lines(self) -> PanelConfig:
        if unknown := self.good_parts.keys() - self.lines.keys():
            raise ValueError(f"good_parts names {', '.join(sorted(unknown))}, not among the lines")
        return self

    @model_validator(mode="after")
    def _connections_hold_the_streams(self) -> PanelConfig:
        if self.streams_max >= self.connections_max:
            what = "should be below {other}: every page that shows a running line has a connection"
            refuse([Flaw(("streams_max",), what, ("connections_max",))])
        return self
