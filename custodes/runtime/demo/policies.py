"""The policies the demo activates. Short windows, so that an alarm is seen within two minutes."""

from __future__ import annotations

POLICIES = (
    """\
apiVersion: custodes/v1
kind: Policy
id: toxic-answers
owner: risk@example.org
severity: high
scope: {environment: demo}
signals:
  tox_rate: {metric: toxicity, agg: rate_above(0.5), window: 3m}
  n:        {metric: toxicity, agg: count, window: 3m}
group_by: [service, deployment]
when:  "n >= 8.0 && tox_rate > 0.15"
clear: "tox_rate < 0.05"
for: 0s
keep_firing_for: 1m
no_data: ok        # a deployment that was taken back gets no more traffic, and insults nobody
actions:
  - {kind: webhook, endpoint: demo-receiver}
  - kind: rollback
    target: {adapter: mlflow, model: support-bot, alias: champion}
    mode: propose
    limits: {cooldown: 5m, per_hour: 4}
    verify: {expr: "tox_rate < 0.15", after: 10s, min_n: 20, within: 20m}
tests:
  - name: a few insults among many answers fire, silence afterwards clears
    step: 10s
    series: {tox_rate: "0.0x3 0.4x3 0.0x12", n: "30x18"}
    expect: [{at: 20s, state: ok}, {at: 30s, state: firing}, {at: 170s, state: ok}]
  - name: too few answers never fire
    step: 10s
    series: {tox_rate: "1.0x6", n: "3x6"}
    expect: [{at: 50s, state: ok}]
""",
    """\
apiVersion: custodes/v1
kind: Policy
id: unsupported-answers
owner: risk@example.org
severity: medium
scope: {environment: demo, service: docs-search}
signals:
  unsupported: {metric: hallucination, agg: rate_above(0.5), window: 30m}
  n:           {metric: hallucination, agg: count, window: 30m}
group_by: [service]
when:  "n >= 20.0 && unsupported > 0.35"
clear: "unsupported < 0.25"
for: 1m
keep_firing_for: 5m
no_data: hold
actions:
  - {kind: webhook, endpoint: demo-receiver}
tests:
  - name: fires when more than a third of the answers is not in the documents
    step: 1m
    series: {unsupported: "0.1x2 0.5x4", n: "40x6"}
    expect: [{at: 1m, state: ok}, {at: 2m, state: pending}, {at: 4m, state: firing}]
""",
)
