"""The directory of the metrics: what killed processes leave behind goes, and totals stay."""

import os
import subprocess
import sys

import pytest
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector

from alchemist.server.metrics import directory

LONG_AGO = directory.LOCK_TIME + 60


@pytest.fixture
def created(tmp_path, monkeypatch):
    """The directory of this process."""
    monkeypatch.setenv(directory.VARIABLE, "")
    directory.create_and_remove_abandoned(str(tmp_path))
    return tmp_path / os.path.basename(os.environ[directory.VARIABLE])


def make_older(path):
    then = path.stat().st_mtime - LONG_AGO
    os.utime(path, (then, then))


def test_the_directory_of_a_killed_gunicorn_is_removed_and_no_other(tmp_path, created):
    code = (
        "import sys; from alchemist.server.metrics import directory as d; "
        "d.create_and_remove_abandoned(sys.argv[1]);"
        "print(d.os.environ[d.VARIABLE], flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    other = tmp_path / os.path.basename(process.stdout.readline().strip())
    fresh, unrelated = tmp_path / f"{directory.PREFIX}fresh", tmp_path / "unrelated"
    for path in (fresh, unrelated):
        path.mkdir()
    for path in (created, other, unrelated):
        make_older(path)
    directory.create_and_remove_abandoned(str(tmp_path))
    assert all(path.exists() for path in (created, other, fresh, unrelated))
    process.kill()
    process.communicate()
    directory.create_and_remove_abandoned(str(tmp_path))
    assert not other.exists()
    assert all(path.exists() for path in (created, fresh, unrelated))


def write(path, value):
    file = MmapedDict(str(path))
    file.write_value(mmap_key("total", "total", [], [], "A total."), value, 0.0)
    file.close()


def total(path):
    [metric] = MultiProcessCollector(None, str(path)).collect()
    return metric.samples[0].value


def test_counters_of_ended_workers_stay_in_the_total_and_their_files_go(created):
    for pid in (1, 12, 2):
        write(created / f"counter_{pid}.db", pid)
        write(created / f"gauge_livesum_{pid}.db", pid)
    for pid in (1, 12):
        directory.merge_ended_worker(pid)
    names = {file.name for file in created.iterdir()}
    assert names == {"counter_ended.db", "counter_2.db", "gauge_livesum_2.db"}
    (created / "gauge_livesum_2.db").unlink()
    assert total(created) == 15


def test_a_file_that_is_half_written_is_dropped_and_ends_nothing(created, caplog):
    write(created / "counter_1.db", 1)
    (created / "counter_2.db").write_bytes(b"\xff\x7f")
    for pid in (1, 2):
        directory.merge_ended_worker(pid)
    assert total(created) == 1
    assert [record.message for record in caplog.records] == [
        "The metrics of an ended worker are lost."
    ]


def test_the_directory_is_removed_at_the_end(created):
    directory.remove()
    assert not created.exists()


def test_without_metrics_nothing_imports_the_client_of_prometheus():
    code = (
        "import sys, alchemist.app, alchemist.server.metrics.directory;"
        "print([name for name in sys.modules if name.startswith('prometheus')])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"
