"""Stand-ins for the clouds: a vendor's API on the loopback network, with boxes that run real processes.

Each vendor has one module here. It builds its answers with the vendor's own models and refuses what it does not know
with 501, which fails the test. `machine.py` has the boxes, `proxy.py` the way to their ports. The wheel has none of it.
"""
