"""Who trains: processes of this machine, or the workers of a Dask or Ray cluster.

Whatever the crew, a model is made by the same function from the same plan, one at a time in a process, and stored by
the worker itself: the number of workers, and which of them did what, change no hash. A worker that dies costs what it
had in training. Clusters are spoken to directly and not through joblib: when a worker dies, joblib's Ray backend ends
the whole run, and with it what the other workers have in training.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol
from urllib.parse import urlsplit

import joblib
from joblib.externals.loky.process_executor import BrokenProcessPool

from metav_audit.errors import ConfigurationError, DataError, MetavAuditError, RemoteError

DEATHS = 3
"""Times that the workers may die before anything is done in between, or all with the same task."""

PATIENCE = 30
"""Seconds in which a cluster must answer."""

Work = Callable[[Any], Any]
"""From a task to its result; a function of a module, so that it can be sent."""

_ONE_AT_A_TIME = threading.Lock()


class Crew(Protocol):
    """Workers.

    Attributes:
        workers: how many work at once.
    """

    workers: int

    def each(self, work: Work, tasks: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        """Yield every task with its result, as they are done.

        Raises:
            DataError: a task's workers die again and again.
            RemoteError: the cluster is gone.
        """
        ...


@contextmanager
def crew_of(backend: str, address: str | None, jobs: int | None) -> Iterator[Crew]:
    """Give the crew that a project names.

    Args:
        backend: "local", "dask" or "ray".
        address: of the cluster's scheduler: Dask's tcp://HOST:PORT or tls://HOST:PORT, Ray's HOST:PORT or ray://HOST:PORT.
        jobs: processes of this machine; all cores by default.

    Raises:
        ConfigurationError: the backend's library is missing, or its address.
        RemoteError: no cluster answers there.
    """
    if backend == "local":
        if address is not None:
            raise ConfigurationError(f"the cluster {address} needs its kind: give backend dask or ray")
        yield Processes(jobs or os.cpu_count() or 1)
        return
    if jobs is not None:
        raise ConfigurationError(
            f"jobs are processes of this machine: leave them out, the {backend} cluster has its own"
        )
    if address is None:
        raise ConfigurationError(f"the backend {backend} needs the address of its cluster's scheduler")
    cluster: Callable[[str], AbstractContextManager[Crew]] = _dask if backend == "dask" else _ray
    with cluster(address) as crew:
        yield crew


def count_workers(backend: str, address: str | None, jobs: int | None) -> int:
    """Return how many workers a crew has; arguments and errors are those of ``crew_of``."""
    with crew_of(backend, address, jobs) as crew:
        return crew.workers


class Processes:
    """Processes of this machine, by joblib; one alone is this process."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def each(self, work: Work, tasks: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        """See ``Crew``. Where a process dies, all of them go, and what is not done is given to new ones."""
        done: set[int] = set()
        deaths = 0
        while len(done) < len(tasks):
            left = [at for at in range(len(tasks)) if at not in done]
            parallel = joblib.Parallel(n_jobs=self.workers, return_as="generator_unordered", batch_size=1)
            try:
                for at, result in parallel(joblib.delayed(_numbered)(work, at, tasks[at]) for at in left):
                    done.add(at)
                    deaths = 0
                    yield tasks[at], result
            except BrokenProcessPool as error:
                deaths += 1
                if deaths >= DEATHS:
                    raise _dying(error) from error


class DaskWorkers:
    """A Dask cluster's workers; the scheduler gives a dead worker's task to another."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.workers = max(1, len(client.nthreads()))

    def each(self, work: Work, tasks: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        """See ``Crew``."""
        from concurrent.futures import CancelledError

        from distributed import KilledWorker, as_completed

        futures = {self._client.submit(one_at_a_time, work, task, pure=False): task for task in tasks}
        try:
            for future in as_completed(list(futures), loop=self._client.loop):
                yield futures.pop(future), future.result()
        except KilledWorker as error:
            raise _dying(error) from error
        except (CancelledError, OSError) as error:
            raise _gone("Dask", error) from error
        finally:
            self._client.cancel(list(futures))


class RayWorkers:
    """A Ray cluster's workers, one a CPU; Ray gives a dead worker's task to another."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self.workers = max(1, int(ray.cluster_resources().get("CPU", 1)))

    def each(self, work: Work, tasks: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        """See ``Crew``."""
        told = self._ray.exceptions
        remote = self._ray.remote(num_cpus=1, max_retries=DEATHS)(work)
        waiting = {remote.remote(task): task for task in tasks}
        try:
            while waiting:
                ready, _ = self._ray.wait(list(waiting), num_returns=1)
                yield waiting.pop(ready[0]), self._ray.get(ready[0])
        except told.RayTaskError as error:
            raise (error.cause if isinstance(error.cause, MetavAuditError) else error) from error
        except (told.WorkerCrashedError, told.NodeDiedError, told.OutOfMemoryError) as error:
            raise _dying(error) from error
        except (told.RayError, ConnectionError) as error:
            raise _gone("Ray", error) from error
        finally:
            for reference in waiting:
                self._ray.cancel(reference)


@contextmanager
def _dask(address: str) -> Iterator[DaskWorkers]:
    try:
        from distributed import Client
    except ImportError:
        raise ConfigurationError("the backend dask needs distributed: pip install 'metav-audit[dask]'") from None
    _check_answers(address, "Dask scheduler")
    try:
        client = Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise RemoteError(f"no Dask scheduler answers at {address}: {error}") from error
    with client:
        yield DaskWorkers(client)


@contextmanager
def _ray(address: str) -> Iterator[RayWorkers]:
    try:
        import ray
    except ImportError:
        raise ConfigurationError("the backend ray needs ray: pip install 'metav-audit[ray]'") from None
    _check_answers(address, "Ray cluster")
    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise RemoteError(f"no Ray cluster answers at {address}: {error}") from error
    try:
        yield RayWorkers(ray)
    finally:
        ray.shutdown()


def _check_answers(address: str, what: str) -> None:
    """See that someone listens at an address, which Ray alone would wait for much longer.

    Raises:
        ConfigurationError: it is none.
        RemoteError: nobody does.
    """
    try:
        named = urlsplit(address if "://" in address else f"//{address}")
        host, port = named.hostname, named.port
    except ValueError:
        host = port = None
    if host is None or port is None:
        raise ConfigurationError(f"{address!r} is no address of a {what}: write HOST:PORT")
    try:
        socket.create_connection((host, port), PATIENCE).close()
    except OSError as error:
        raise RemoteError(f"no {what} answers at {address}: {error}") from error


def one_at_a_time(work: Work, task: Any) -> Any:
    """Do a task while no other thread of this process does one: trainings share torch's one generator."""
    with _ONE_AT_A_TIME:
        return work(task)


def _numbered(work: Work, at: int, task: Any) -> tuple[int, Any]:
    return at, work(task)


def _dying(error: Exception) -> DataError:
    return DataError(
        f"the workers die of a model in training, {DEATHS} times or more ({str(error).splitlines()[0][:200]}): give "
        "them more memory, or let fewer train at once. What was trained stands"
    )


def _gone(what: str, error: Exception) -> RemoteError:
    return RemoteError(
        f"the {what} cluster is gone ({type(error).__name__}: {str(error)[:200]}). What was trained stands: run the "
        "same command again"
    )
