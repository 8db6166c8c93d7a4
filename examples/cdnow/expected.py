#!/usr/bin/env python3
"""What deltaic.toml must come to at a given time, in plain Python: a second opinion, one JSON line per customer.

    python3 expected.py --at 1998-06-30T00:00:00Z
"""

import argparse
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
WINDOW, GRAIN = timedelta(days=90), timedelta(hours=1)

arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
arguments.add_argument("--at", required=True, type=lambda text: datetime.fromisoformat(text.replace("Z", "+00:00")))
at = arguments.parse_args().at


def in_window(date):
    """From the order on, until 90 days later, rounded up to the grain."""
    end = EPOCH + -((EPOCH - date - WINDOW) // GRAIN) * GRAIN
    return date <= at < end


orders_of = {}
for line in (Path(__file__).parent / "data/CDNOW_sample.txt").read_text().splitlines():
    customer, _, date, _, dollars = line.split()
    date = datetime.strptime(date, "%Y%m%d").replace(tzinfo=timezone.utc)
    if date <= at:
        orders_of.setdefault(customer, []).append((date, round(float(dollars) * 100)))

for customer, orders in sorted(orders_of.items()):
    cents = sum(cents for _, cents in orders)
    traits = {
        "last_order": max(orders)[0].strftime("%Y-%m-%dT%H:%M:%SZ"),
        "orders": len(orders),
        "orders_90d": sum(in_window(date) for date, _ in orders),
        "revenue": cents // 100 + cents % 100 / 100,
    }
    active = traits["orders_90d"] > 0
    audiences = {
        "active_90d": active,
        "big_spenders": cents >= 500_00,
        "lapsed": len(orders) >= 3 and not active,
        "loyal": len(orders) >= 5 and active,
    }
    members = [name for name, is_member in audiences.items() if is_member]
    print(json.dumps({"identifiers": [f"user_id:{customer}"], "traits": traits, "audiences": members}))
