"""Clusters of two workers on the loopback, whose workers can be killed, and an S3 of moto's."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parents[2]
WAIT_S = 200


@dataclass(frozen=True)
class Cluster:
    """A running cluster: what a project calls it, where it answers, and the processes that train now."""

    backend: str
    address: str
    training: Callable[[], list[Any]]

    def kill_one(self) -> int:
        """Kill a worker that trains, as the kernel does where memory runs out; return its process's number."""
        victim = wait_for(self.training)[0]
        victim.send_signal(signal.SIGKILL)
        return victim.pid


def wait_for(look, what: str = "it"):
    """Return what ``look`` finds as soon as it finds something."""
    ends = time.monotonic() + WAIT_S
    while not (found := look()):
        assert time.monotonic() < ends, f"{what} did not come"
        time.sleep(0.02)
    return found


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def environment() -> dict[str, str]:
    """This process's, one thread a worker, and nothing told to anyone elsewhere."""
    paths = f"{SOURCE}{os.pathsep}{SOURCE / 'adapters'}"
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_IMPORT_WARNING": "1"}
    return {**os.environ, **quiet, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}


@contextmanager
def dask_cluster(folder: Path) -> Iterator[Cluster]:
    """A scheduler and two workers, each a process of its own that nobody starts again."""
    address = f"tcp://127.0.0.1:{free_port()}"
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--no-dashboard"]
    worker = [
        sys.executable, "-m", "distributed.cli.dask_worker", address, "--host", "127.0.0.1", "--nthreads", "1",
        "--no-nanny", "--no-dashboard", "--memory-limit", "0", "--local-directory", str(folder),
    ]  # fmt: skip
    commands = [[*dask, "--port", address.rpartition(":")[2]], worker, worker]
    with (folder / "dask.log").open("wb") as log:
        processes = [subprocess.Popen(each, cwd=folder, env=environment(), stdout=log, stderr=log) for each in commands]
        try:
            wait_for(lambda: _dask_workers(address) == 2, "both Dask workers")
            yield Cluster("dask", address, lambda: [one for one in processes[1:] if one.poll() is None])
        finally:
            for one in processes:
                one.kill()
                one.wait()


def _dask_workers(address: str) -> int:
    from distributed import Client

    with Client(address, timeout=WAIT_S, set_as_default=False) as client:
        return len(client.nthreads())


@contextmanager
def ray_cluster(folder: Path) -> Iterator[Cluster]:
    """Two nodes of one worker each."""
    import ray
    from ray.cluster_utils import Cluster as Nodes

    before = dict(os.environ)
    os.environ.update(environment())
    nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        nodes.add_node(num_cpus=1)
        nodes.wait_for_nodes()
        yield Cluster("ray", nodes.address, _ray_workers)
    finally:
        ray.shutdown()
        nodes.shutdown()
        os.environ.clear()
        os.environ.update(before)


def _ray_workers() -> list[Any]:
    """Ray names a worker's process after what it does."""
    import psutil

    below = psutil.Process().children(recursive=True)
    return [one for one in below if _command(one).startswith("ray::_make_one")]


def _command(process: Any) -> str:
    import psutil

    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@contextmanager
def bucket(name: str) -> Iterator[str]:
    """An S3 of this process with one bucket, in the environment of whoever is started inside; give its address."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    named = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "testing", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_SECRET_ACCESS_KEY": "testing", "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip
    before = dict(os.environ)
    os.environ.update(named)
    try:
        boto3.client("s3").create_bucket(Bucket=name)
        yield f"s3://{name}"
    finally:
        os.environ.clear()
        os.environ.update(before)
        server.stop()
