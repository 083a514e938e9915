"""What both parameter files cost in a month: `python deploy/cloudformation/costs.py > deploy/cloudformation/COSTS.md`."""

import json
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOM = Path(__file__).resolve().parent
HOURS = 730
DISKS_GB = {"FrontEnd": 10, "Ui": 20, "Application": 20, "Worker": 60, "Monitoring": 30}  # as portal.yaml says
METRICS_OF_A_MACHINE = 7  # of detailed monitoring
GENERATED_SECRETS = 6
ALARMS = {"nginx": 12, "balancer": 15}  # with one NAT gateway; every other has its own
SCALING_ALARMS = 2


@dataclass(frozen=True)
class Line:
    """One row of the table."""

    what: str
    quantity: float
    unit: str
    usd: float
    source: str

    @property
    def month(self) -> float:
        return round(self.quantity * self.usd, 2)


class Stack:
    """The lines of one parameter file."""

    def __init__(self, name: str) -> None:
        self.given: dict[str, str] = json.loads((ROOM / f"{name}.json").read_text())["Parameters"]
        self.prices: dict[str, Any] = tomllib.loads((ROOM / "prices.toml").read_text())
        self.zones, self.nginx = int(self.given["Zones"]), self.given["FrontEnd"] == "nginx"
        self.machines = {
            group: int(self.given.get(f"{group}Min", 1)) for group in DISKS_GB if group != "FrontEnd" or self.nginx
        }

    def lines(self) -> list[Line]:
        return [*self._machines(), *self._network(), *self._stores(), *self._watch()]

    def _hours(self, what: str, count: float, price: str) -> Line:
        return self._line(what, count * HOURS, "hours", "hour", price)

    def _line(self, what: str, quantity: float, unit: str, section: str, price: str) -> Line:
        found = self.prices[section][price]
        return Line(what, quantity, unit, found["usd"], found["source"])

    def _machines(self) -> list[Line]:
        lines = [
            self._hours(f"{group}: {count} x {self.given[f'{group}Type']}", count, self.given[f"{group}Type"])
            for group, count in self.machines.items()
        ]
        disks = sum(count * DISKS_GB[group] for group, count in self.machines.items())
        metrics = sum(self.machines.values()) * METRICS_OF_A_MACHINE
        return [
            *lines,
            self._line("Disks (gp3)", disks, "GB", "month", "disk_gb"),
            self._line("Detailed monitoring of the machines", metrics, "metrics", "month", "metric"),
        ]

    def _network(self) -> list[Line]:
        addresses = self.zones + (1 if self.nginx else self.zones)
        lines = [
            self._hours(f"NAT gateways: {self.zones}", self.zones, "nat_gateway"),
            self._line("Data through them", self.zones * self.prices["assumed"]["nat_gb"], "GB", "once", "nat_gb"),
            self._hours(f"Public addresses: {addresses}", addresses, "public_address"),
        ]
        if self.nginx:
            return [*lines, self._line("Private zone", 1, "zones", "month", "zone")]
        units = self.prices["assumed"]["lcu"]
        return [
            *lines,
            self._hours("Load balancer", 1, "load_balancer"),
            self._hours("Its capacity units", units, "load_balancer_unit"),
        ]

    def _stores(self) -> list[Line]:
        copies = 2 if self.given["DatabaseMultiAz"] == "true" else 1
        database, redis = self.given["DatabaseType"], self.given["RedisType"]
        nodes, storage = int(self.given["RedisNodes"]), int(self.given["DatabaseStorage"])
        return [
            self._hours(f"Database: {copies} x {database}", copies, database),
            self._line("Its storage (gp3)", copies * storage, "GB", "month", "database_gb"),
            self._hours(f"Redis: {nodes} x {redis}", nodes, redis),
            self._line("Films (S3 Standard)", self.prices["assumed"]["films_gb"], "GB", "month", "films_gb"),
            self._line("Key", 1, "keys", "month", "key"),
            self._line("Secrets", GENERATED_SECRETS + self.nginx, "secrets", "month", "secret"),
        ]

    def _watch(self) -> list[Line]:
        alarms = ALARMS[self.given["FrontEnd"]] + SCALING_ALARMS + self.zones - 1
        return [
            self._line("Alarms", alarms, "alarms", "month", "alarm"),
            self._line("Metrics of our own", len(self.machines) + 1, "metrics", "month", "metric"),
            self._line("Dashboard", 1, "dashboards", "month", "dashboard"),
            self._line("Logs taken in", self.prices["assumed"]["logs_gb"], "GB", "once", "log_gb"),
        ]


def table(name: str) -> str:
    lines = Stack(name).lines()
    total = sum(line.month for line in lines)
    unchecked = sum(line.month for line in lines if line.source != "aws")
    rows = [
        f"| {line.what} | {line.quantity:,.0f} {line.unit} | {line.usd:g} | {line.month:,.2f} | {_mark(line)} |"
        for line in lines
    ]
    return "\n".join(
        [
            f"## `{name}`",
            "",
            "| what | quantity | dollars each | dollars a month | price from |",
            "|---|--:|--:|--:|---|",
            *rows,
            f"| **Sum** | | | **{total:,.2f}** | of it not verified against AWS: {unchecked:,.2f} |",
        ]
    )


def _mark(line: Line) -> str:
    return line.source if line.source == "aws" else f"{line.source}, not verified"


def document() -> str:
    prices = tomllib.loads((ROOM / "prices.toml").read_text())
    assumed, each = prices["assumed"], prices["hour"]
    sources = [f"- {name}: {text}." for name, text in prices["sources"].items()]
    gateway, endpoint = each["nat_gateway"]["usd"] * HOURS, each["interface_endpoint"]["usd"] * HOURS
    return "\n".join(
        [
            "# What the stack costs",
            "",
            "Made by `costs.py` from `prices.toml` and the parameter files; a test compares. us-east-1, Linux, on demand,",
            "every group at its least size, without free allowances, discounts, tax and data sent to the internet. Assumed:",
            f"{assumed['films_gb']} GB of films, {assumed['nat_gb']} GB a month through each NAT gateway,",
            f"{assumed['logs_gb']} GB of logs, {assumed['lcu']} load-balancer capacity unit.",
            "",
            table("origin"),
            "",
            table("network"),
            "",
            f"A NAT gateway is {gateway:.2f} dollars a month before data. Session Manager goes through it: its two interface",
            f"endpoints would be {2 * endpoint:.2f} for each zone on top (not verified), and take no gateway away, since",
            "packages come from the internet. `Zones` of 2 saves one gateway. Another worker is the largest step;",
            "`WorkerMax` bounds it.",
            "",
            "## Where the prices were read",
            "",
            *sources,
            "",
        ]
    )


if __name__ == "__main__":
    sys.stdout.write(document())
