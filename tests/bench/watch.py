"""What it takes from a changed file to the first line of a runbook; idling; a burst.

    watch.py CCRUN SCRATCH WATCHEXEC

Prints `NAME VALUE` lines. Each contender runs the same runbook, in a folder of its own; the changes go
round, one contender after the other, so that each sees the same machine.
"""

import datetime
import os
import pathlib
import signal
import subprocess
import sys
import time

ccrun, scratch, watchexec = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
ROUNDS = int(os.environ.get("ROUNDS", "100"))
RUNBOOK = """runbook(#{ needs: #{ fs: "*" }, on: [ #{ files: "in/*.txt", debounce: "0ms", rate: "1000000/1m" } ] });
let began = time::now();
fs::append("stamps", `${began}` + "\\n");
"""


def folder(name, runbook=RUNBOOK):
    path = scratch / name
    (path / "in").mkdir(parents=True)
    (path / "runbooks").mkdir()
    (path / "runbooks" / "stamp.rhai").write_text(runbook)
    (path / "ccrun.toml").write_text('[watch]\nlisten = "off"\n')
    (path / "in" / "a.txt").write_text("0")
    return path


def start(path, *command, stdin=None):
    log = open(path / "log", "wb")
    return subprocess.Popen(command, cwd=path, stdin=stdin, stdout=log, stderr=log)


def stamps(path):
    try:
        return (path / "stamps").read_text().splitlines()
    except FileNotFoundError:
        return []


def wait(what, condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"not within {seconds} s: {what}")
        time.sleep(0.0005)


def nanoseconds(stamp):
    whole, _, fraction = stamp.rstrip("Z").partition(".")
    seconds = datetime.datetime.fromisoformat(whole + "+00:00").timestamp()
    return int(seconds) * 10**9 + int(fraction.ljust(9, "0"))


def ready(path):
    wait("ccrun watches", lambda: b"watching: " in (path / "log").read_bytes())


def latency():
    contenders = {}
    path = folder("ccrun")
    contenders["ccrun"] = path, start(path, ccrun, "watch", "--quiet")
    ready(path)
    path = folder("entr")
    names = subprocess.Popen(["echo", "in/a.txt"], cwd=path, stdout=subprocess.PIPE)
    contenders["entr"] = path, start(path, "entr", "-n", "-p", ccrun, "--quiet", "runbooks/stamp.rhai", stdin=names.stdout)
    if watchexec != "-":
        path = folder("watchexec")
        contenders["watchexec"] = path, start(
            path, watchexec, "--ignore-nothing", "--debounce", "0ms", "--postpone", "--shell", "none", "--on-busy-update", "queue", "-w", "in",
            "--", ccrun, "--quiet", "runbooks/stamp.rhai",
        )
    time.sleep(1)
    took = {name: [] for name in contenders}
    for number in range(ROUNDS):
        for name, (path, _) in contenders.items():
            before = len(stamps(path))
            began = time.time_ns()
            with open(path / "in" / "a.txt", "w") as file:
                file.write(str(number + 1))
            wait(f"{name} runs", lambda: len(stamps(path)) > before)
            took[name].append((nanoseconds(stamps(path)[before]) - began) / 1e6)
            # The run ends, and whoever started it takes note.
            time.sleep(0.15)
    for name, (path, process) in contenders.items():
        process.send_signal(signal.SIGTERM)
        process.wait()
        values = sorted(took[name])
        print(f"{name}_p50", round(values[len(values) // 2], 2))
        print(f"{name}_p99", round(values[int(len(values) * 0.99) - 1], 2))
        print(f"{name}_runs", len(stamps(path)))


def processor(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle_and_burst():
    path = folder("many", RUNBOOK.replace('"0ms"', '"500ms"').replace("in/*.txt", "in/**/*.txt"))
    for number in range(10_000):
        part = path / "in" / str(number // 100)
        part.mkdir(exist_ok=True)
        (part / f"{number}.txt").write_text("0")
    process = start(path, ccrun, "watch", "--quiet")
    ready(path)
    time.sleep(3)
    before = processor(process.pid)
    seconds = int(os.environ.get("IDLE", "30"))
    time.sleep(seconds)
    print("idle_percent", round((processor(process.pid) - before) / seconds * 100, 3))
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    print("idle_mib", round(int(resident.split()[1]) / 1024, 1))
    for number in range(10_000):
        (path / "in" / str(number // 100) / f"{number}.txt").write_text("11")
    wait("the burst runs", lambda: stamps(path))
    time.sleep(3)
    print("burst_runs", len(stamps(path)))
    process.send_signal(signal.SIGTERM)
    process.wait()


latency()
idle_and_burst()
