"""The main job as its users run it, from source to the upper rungs, through the Prefect flows: `make demo`.

    python -m sequence.demo

A roster is put into force: who approves, who governs, which machine's evaluations count. Then

* the template's algo is built, replayed on a real sample of market data, promoted to *replay*, run in shadow over an
  hour of a synthetic market and promoted to *shadow*; each time somebody else approves, with a key made for the day;
* a reckless algo goes the same way and is refused;
* a routing policy and an assignment policy execute the same parent orders over three synthetic venues, and climb to
  *replay* and to *sandbox*.

Everything lies in ./demo-out afterwards; Prefect's server is a temporary one, and nothing is left running.
"""
