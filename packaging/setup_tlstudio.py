"""Sets tlstudio up in this clone, then opens it or runs its tests. Needs Python and nothing else.

    python3 packaging/setup_tlstudio.py open
    python3 packaging/setup_tlstudio.py test [what to hand to pytest]

The first call makes the virtual environment `.venv` and fills it; later calls find it ready and start at once. On
Debian and Ubuntu, missing system packages are installed where that needs no password; else the command is printed.
"""

from __future__ import annotations  # the file must also start on a Python that is too old, to say so

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CLONE = Path(__file__).resolve().parent.parent
VENV = CLONE / ".venv"
STAMP = VENV / "tlstudio-ready"
OLDEST = (3, 11)
# A process a core, up to what fits into the memory of a small computer; a file's tests stay together.
IN_PARALLEL = ("--numprocesses=auto", "--maxprocesses=4", "--dist=loadfile")
NEWER_NAMES = ("python3.14", "python3.13", "python3.12", "python3.11")

# What Qt loads, and the packages that have it: the first that apt knows is taken.
WITHOUT_SCREEN = {
    "libglib-2.0.so.0": ("libglib2.0-0t64", "libglib2.0-0"),
    "libEGL.so.1": ("libegl1",),
    "libGL.so.1": ("libgl1",),
    "libdbus-1.so.3": ("libdbus-1-3",),
    "libfontconfig.so.1": ("libfontconfig1",),
    "libxkbcommon.so.0": ("libxkbcommon0",),
}
WITH_SCREEN = {
    **WITHOUT_SCREEN,
    "libX11-xcb.so.1": ("libx11-xcb1",),
    "libxkbcommon-x11.so.0": ("libxkbcommon-x11-0",),
    "libxcb-cursor.so.0": ("libxcb-cursor0",),
    "libxcb-icccm.so.4": ("libxcb-icccm4",),
    "libxcb-image.so.0": ("libxcb-image0",),
    "libxcb-keysyms.so.1": ("libxcb-keysyms1",),
    "libxcb-randr.so.0": ("libxcb-randr0",),
    "libxcb-render-util.so.0": ("libxcb-render-util0",),
    "libxcb-shape.so.0": ("libxcb-shape0",),
    "libxcb-xkb.so.1": ("libxcb-xkb1",),
}
VENV_MODULE = "Python's venv module"
FONT = "a font"
FONT_PACKAGES = ("fonts-dejavu-core",)
FONT_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts")


class SetupError(Exception):
    """The set-up cannot go on; the text says why and what to do."""


def main(arguments: list[str]) -> int:
    """Run "open" or "test" and return the exit code."""
    verb = arguments[0] if arguments else ""
    if verb not in ("open", "test") or (verb == "open" and len(arguments) > 1):
        print((__doc__ or "").strip(), file=sys.stderr)
        return 0 if verb in ("-h", "--help") else 2
    try:
        interpreter = find_interpreter()
        provide_system_packages(interpreter, needed=parts_needed(verb))
        python = provide_environment(interpreter, extra="test" if verb == "test" else "")
        if verb == "test":
            return run_tests(python, arguments[1:])
        return open_window(python) if has_screen() else work_without_screen(python)
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from here.", file=sys.stderr)
        return 130


def parts_needed(verb: str) -> set[str]:
    """Return the parts of the system without which this command cannot work; the command line needs none."""
    if verb == "test":
        return {FONT, *WITHOUT_SCREEN}
    return {FONT, *WITH_SCREEN} if has_screen() else set()


def say(sentence: str) -> None:
    """Tell the user where things stand, at once even where the output goes to a file."""
    print(sentence, flush=True)


def has_screen() -> bool:
    """Return whether a window can be shown."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def find_interpreter() -> str:
    """Return a Python that is new enough: this one, or another by name."""
    if sys.version_info >= OLDEST:
        return sys.executable
    for name in NEWER_NAMES:
        path = shutil.which(name)
        if path:
            return path
    raise SetupError(
        f"tlstudio needs Python {OLDEST[0]}.{OLDEST[1]} or newer; this is {platform.python_version()}.\n"
        "Install a newer Python, then run the same command with it."
    )


# --- system packages ---------------------------------------------------------------------------------------------


def provide_system_packages(interpreter: str, needed: set[str]) -> None:
    """Install what is missing if that is allowed.

    Raises SetupError if something stays missing that is `needed` or without which there is no virtual environment.
    """
    if not sys.platform.startswith("linux"):
        return
    missing = missing_parts(interpreter)
    if missing and shutil.which("apt-get"):
        install_by_apt(missing)
        missing = missing_parts(interpreter)
    blocking = sorted(missing.keys() & {VENV_MODULE, *needed})
    if not blocking:
        return
    if not shutil.which("apt-get"):
        raise SetupError(f"Install these with your system's package manager: {', '.join(blocking)}.")
    command = f"apt-get update && apt-get install -y --no-install-recommends {' '.join(packages_for(missing))}"
    raise SetupError(
        "Some system packages are missing. Run this once, then the same command again:\n\n"
        f"    {command if is_root() else f'sudo sh -c {shlex.quote(command)}'}\n"
    )


def missing_parts(interpreter: str) -> dict[str, tuple[str, ...]]:
    """Return what this computer lacks, and for each the names of packages that have it."""
    missing = {name: packages for name, packages in WITH_SCREEN.items() if not can_load(name)}
    if not has_font():
        missing[FONT] = FONT_PACKAGES
    if not STAMP.exists() and ask(interpreter, "import ensurepip, venv; print('both')") != "both":
        missing[VENV_MODULE] = (ask(interpreter, "import sys; print('python%d.%d-venv' % sys.version_info[:2])"),)
    return missing


def can_load(library: str) -> bool:
    """Return whether the system finds a shared library."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def has_font() -> bool:
    """Return whether any font is installed that Qt could use."""
    files = (file for folder in FONT_FOLDERS for file in Path(folder).expanduser().rglob("*"))
    return any(file.suffix.lower() in (".ttf", ".otf", ".ttc") for file in files)


def install_by_apt(missing: dict[str, tuple[str, ...]]) -> None:
    """Install packages where that needs no password; say nothing and do nothing where it does."""
    if is_root():
        prefix: list[str] = []
    elif shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
        prefix = ["sudo", "-n"]
    else:
        return
    apt = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    # An outdated list of packages is no reason to stop: the installation says whether it suffices.
    subprocess.run([*apt, "update"], capture_output=True, stdin=subprocess.DEVNULL)
    packages = packages_for(missing)
    say(f"Installing system packages: {' '.join(packages)}")
    done = subprocess.run(
        [*apt, "install", "-y", "--no-install-recommends", *packages],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, encoding="utf-8", errors="replace",
    )  # fmt: skip
    if done.returncode:
        say(f"That did not work:\n{last_lines(done.stdout)}\n")


def packages_for(missing: dict[str, tuple[str, ...]]) -> list[str]:
    """Return one package for each missing part: the first that apt knows."""
    return sorted({next((name for name in names if apt_knows(name)), names[-1]) for names in missing.values()})


def apt_knows(package: str) -> bool:
    """Return whether apt's lists have a package of that very name."""
    shown = subprocess.run(["apt-cache", "show", "--no-all-versions", package], capture_output=True)
    return shown.returncode == 0 and bool(shown.stdout.strip())


def is_root() -> bool:
    """Return whether this user is the administrator."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


# --- the virtual environment ---------------------------------------------------------------------------------------


def provide_environment(interpreter: str, extra: str) -> str:
    """Return the Python of a virtual environment in which tlstudio is installed as pyproject.toml says now."""
    python = str(VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    if STAMP.exists() and STAMP.read_text("utf-8") in (ready_text(python, extra), ready_text(python, "test")):
        return python
    version = ask(python, f"import sys, pip; print(sys.version_info >= {OLDEST})")
    if version != "True":
        say("Making a virtual environment in .venv")
        run_quietly([interpreter, "-m", "venv", "--clear", str(VENV)], "The virtual environment could not be made.")
    STAMP.unlink(missing_ok=True)
    say("Installing Python packages into .venv. This happens once, takes some minutes and needs about 6 GB.")
    target = f".[{extra}]" if extra else "."
    run_quietly(
        [python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--editable", target],
        "The Python packages could not be installed. The same command tries again.",
    )
    STAMP.write_text(ready_text(python, extra), "utf-8")
    return python


def ready_text(python: str, extra: str) -> str:
    """Return what the stamp file says if the environment fits this clone, its pyproject.toml and its Python."""
    digest = hashlib.sha256((CLONE / "pyproject.toml").read_bytes()).hexdigest()
    return "\n".join((str(CLONE), ask(python, "import sys; print(sys.version)"), digest, extra))


def ask(python: str, program: str) -> str:
    """Return what a short program prints in another Python; nothing if it fails."""
    try:
        answer = subprocess.run([python, "-c", program], capture_output=True, encoding="utf-8")
    except OSError:
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


def run_quietly(command: list[str], complaint: str) -> None:
    """Run a long command, saying every half minute that it still runs; its output is shown only if it fails."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, cwd=CLONE, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        waited_s = 0
        try:
            while True:
                try:
                    code = process.wait(timeout=30)
                    break
                except subprocess.TimeoutExpired:
                    waited_s += 30
                    say(f"  still at it ({waited_s // 60} min {waited_s % 60:02} s)")
        except BaseException:
            process.kill()
            process.wait()
            raise
        if code:
            output.seek(0)
            raise SetupError(f"{last_lines(output.read().decode('utf-8', 'replace'))}\n\n{complaint}")


def last_lines(text: str) -> str:
    """Return the end of a program's output, where the reason of a failure stands."""
    return "\n".join(text.strip().splitlines()[-25:])


# --- what the user came for ----------------------------------------------------------------------------------------


def open_window(python: str) -> int:
    """Open the app and return its exit code."""
    say("Opening tlstudio")
    return subprocess.call([python, "-m", "tlstudio"], cwd=CLONE)


def work_without_screen(python: str) -> int:
    """Do on sample pictures what a user would do in the window, and return the exit code."""
    folder = new_results_folder()
    pictures, run, export = folder / "pictures", folder / "run", folder / "export"
    say("There is no screen here, so no window can open. The same work follows on the command line.")
    for sentence, arguments in (
        ("Drawing sample pictures", ["samples", str(pictures)]),
        ("Training", ["train", str(pictures), "--run", str(run)]),
        ("Evaluating on pictures that taught the model nothing", ["evaluate", str(run)]),
        ("Exporting", ["export", str(run), "--format", "onnx", "--to", str(export)]),
    ):
        say(f"\n{sentence}: tlstudio {' '.join(arguments)}")
        code = subprocess.call([python, "-m", "tlstudio", *arguments], cwd=CLONE)
        if code:
            return code
    say(f"\nDone. The results lie in {folder}")
    say("  run: the trained model and everything about the run\n  export: the model for other programs")
    return 0


def new_results_folder() -> Path:
    """Make and return a folder that did not exist before."""
    number = 1
    while True:
        folder = CLONE / "tlstudio-results" / str(number)
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1


def run_tests(python: str, pytest_arguments: list[str]) -> int:
    """Run the linter, the type checker and the tests; return the first exit code that is not 0."""
    codes = []
    for sentence, arguments in (
        ("Checking style", ["ruff", "check", "."]),
        ("Checking types", ["mypy"]),
        ("Running the tests", ["pytest", *IN_PARALLEL, *pytest_arguments]),
    ):
        say(f"\n{sentence}: {' '.join(arguments)}")
        codes.append(subprocess.call([python, "-m", *arguments], cwd=CLONE))
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
