"""A cluster of one machine: sbatch, srun, sacct, scancel and scontrol, for tests.

The first job that trains is preempted once: all processes of its step get SIGUSR2, as from SLURM.
State lies in $FAKE_SLURM: JOB_TASK.state, .step (process id), .requeue.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

STATE = Path(os.environ.get("FAKE_SLURM", "fake-slurm"))


def sbatch(file: str) -> None:
    STATE.mkdir(exist_ok=True)
    job = str(100 + len(list(STATE.glob("*.submitted"))))
    (STATE / f"{job}.submitted").touch()
    array = re.search(r"^#SBATCH --array=0-(\d+)", Path(file).read_text(), re.MULTILINE)
    for task in range(int(array.group(1)) + 1 if array else 1):
        (STATE / f"{job}_{task}.state").write_text("PENDING")
        command = [sys.executable, __file__, "_task", job, str(task), file]
        subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
    print(f"Submitted batch job {job}")


def _task(job: str, task: str, file: str) -> None:
    name = f"{job}_{task}"
    names = {"SLURM_JOB_ID": name, "SLURM_ARRAY_JOB_ID": job, "SLURM_ARRAY_TASK_ID": task}
    names |= {"SLURM_NTASKS": "1", "SLURM_JOB_NUM_NODES": "1", "SLURM_JOB_NODELIST": "here"}
    names |= {"SLURM_NODEID": "0", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
    while True:
        batch = subprocess.Popen(["bash", file], env={**os.environ, **names})
        (STATE / f"{name}.state").write_text("RUNNING")
        while batch.poll() is None:
            time.sleep(0.05)
            _preempt_once(name)
        requeue = STATE / f"{name}.requeue"
        if not requeue.exists():
            break
        requeue.unlink()
    (STATE / f"{name}.state").write_text("FAILED" if batch.returncode else "COMPLETED")


def _preempt_once(name: str) -> None:
    """Signal the step where its cell has a checkpoint, unless one was signalled before."""
    step, mark = STATE / f"{name}.step", STATE / "preempted"
    if mark.exists() or not step.exists():
        return
    out = Path(os.environ["FAKE_SLURM_OUT"])
    if not list(out.glob("runs/*autoencoder*/checkpoints/index.json")):
        return
    pid = int(step.read_text())
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    if not any("autoencoder" in Path(f"/proc/{c}/cmdline").read_text() for c in children):
        return
    mark.touch()
    for process in (*map(int, children), pid):
        os.kill(process, signal.SIGUSR2)


def srun(*arguments: str) -> None:
    command = arguments[arguments.index(sys.executable) :]
    (STATE / f"{os.environ['SLURM_JOB_ID']}.step").write_text(str(os.getpid()))
    os.execv(command[0], command)


def sacct(*arguments: str) -> None:
    print("JobID|State|NodeList")
    for path in sorted(STATE.glob("*.state")):
        print(f"{path.stem}|{path.read_text()}|here")


def scancel(*arguments: str) -> None:
    for path in STATE.glob(f"{arguments[-1]}*.step"):
        os.kill(int(path.read_text()), signal.SIGTERM)


def scontrol(verb: str, job: str) -> None:
    assert verb == "requeue"
    (STATE / f"{job}.requeue").touch()


if __name__ == "__main__":
    programs = {f.__name__: f for f in (sbatch, _task, srun, sacct, scancel, scontrol)}
    programs[sys.argv[1]](*sys.argv[2:])
