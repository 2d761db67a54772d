"""Ray nodes in processes of their own: ``cluster.py``, which kills one for a line on stdin.

Not in the tests' own process: what Ray leaves running there would be in the way of forks. Whatever
Ray writes is in RAY_TMPDIR, the address of its cluster too.
"""

from __future__ import annotations

import json
import sys

from ray.cluster_utils import Cluster

SMALL = {"object_store_memory": 80 << 20}

if __name__ == "__main__":
    head = {"num_cpus": 0, "include_dashboard": False, **SMALL}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    doomed = cluster.add_node(num_cpus=1, **SMALL)
    cluster.add_node(num_cpus=2, num_gpus=1, **SMALL)
    raylet = doomed.all_processes["raylet"][0].process.pid
    print(json.dumps({"address": cluster.address, "doomed": raylet}), flush=True)
    if sys.stdin.readline():
        cluster.remove_node(doomed, allow_graceful=False)
        print("gone", flush=True)
        sys.stdin.read()
    cluster.shutdown()
