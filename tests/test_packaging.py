"""The set-up script, run for real on a clone that needs no package from anywhere; lists that must not fall behind."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "packaging" / "setup_tlstudio.py"

# A build backend that builds itself: pip needs nothing from outside to install it.
BACKEND = """
    import pathlib, zipfile

    def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
        name = "tlstudio-0-py3-none-any.whl"
        info = "tlstudio-0.dist-info"
        with zipfile.ZipFile(pathlib.Path(wheel_directory, name), "w") as wheel:
            facts = "Metadata-Version: 2.1\\nName: tlstudio\\nVersion: 0\\nProvides-Extra: test\\n"
            wheel.writestr(f"{info}/METADATA", facts)
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
            wheel.writestr("tlstudio_clone.pth", str(pathlib.Path().resolve()))
            wheel.writestr(f"{info}/RECORD", "")
        return name

    build_wheel = build_editable
"""
PYPROJECT = """
    [build-system]
    requires = []
    build-backend = "backend"
    backend-path = ["."]
    [project]
    name = "tlstudio"
    version = "0"
    [project.optional-dependencies]
    test = []
"""
# Stands where the app does and writes down how it was called.
RECORDER = """
    import json, pathlib, sys
    with open("calls", "a") as file:
        print(json.dumps([pathlib.Path(sys.argv[0]).parent.name, *sys.argv[1:]]), file=file)
    sys.exit(3 if pathlib.Path("fail").exists() else 0)
"""


class Clone:
    """A clone of a project of the same shape, and what its commands were called with."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "packaging").mkdir(parents=True)
        shutil.copy(SCRIPT, path / "packaging")
        self.write("pyproject.toml", PYPROJECT)
        self.write("backend.py", BACKEND)
        for name in ("tlstudio", "ruff", "mypy", "pytest"):
            (path / name).mkdir()
            self.write(f"{name}/__init__.py", "")
            self.write(f"{name}/__main__.py", RECORDER)

    def write(self, name: str, text: str) -> None:
        (self.path / name).write_text(textwrap.dedent(text), "utf-8")

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the script where neither a screen nor apt can be found."""
        kept = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
        return subprocess.run(
            [sys.executable, str(self.path / "packaging" / SCRIPT.name), *arguments],
            env={**kept, "PATH": str(self.path), **variables}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip

    def calls(self) -> list[str]:
        """Return the calls since the last time, each as one line, with the clone's folder written as "."."""
        file = self.path / "calls"
        lines = file.read_text("utf-8").splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return [line.replace(str(self.path), ".") for line in lines]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    clone = Clone(tmp_path_factory.mktemp("clone") / "a folder with spaces")
    done = clone.run("open")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Installing Python packages" in done.stdout
    clone.calls()
    yield clone
    (clone.path / "fail").unlink(missing_ok=True)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a screen")
def test_without_a_screen_the_whole_job_is_done_in_a_new_folder(clone):
    first, second = clone.run("open"), clone.run("open")
    assert "There is no screen here" in first.stdout
    numbers = [int(line.rpartition("/")[2]) for done in (first, second) for line in done.stdout.splitlines()
               if "The results lie in" in line]  # fmt: skip
    assert numbers[1] == numbers[0] + 1
    where = f"./tlstudio-results/{numbers[0]}"
    assert clone.calls()[:4] == [
        f'["tlstudio", "samples", "{where}/pictures"]',
        f'["tlstudio", "train", "{where}/pictures", "--run", "{where}/run"]',
        f'["tlstudio", "evaluate", "{where}/run"]',
        f'["tlstudio", "export", "{where}/run", "--format", "onnx", "--to", "{where}/export"]',
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="screens are told by variables on Linux")
def test_with_a_screen_the_window_is_opened(clone):
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        done = clone.run("open", **{variable: ":9"})
        if "package manager" in done.stderr:
            pytest.skip("this computer lacks the libraries of a screen")
        assert done.returncode == 0, done.stderr
        assert clone.calls() == ['["tlstudio"]']


def test_a_ready_environment_is_used_again_and_a_changed_project_is_installed_again(clone):
    assert "Installing" not in clone.run("open").stdout
    assert "Installing" in clone.run("test").stdout, "the test extra was not there yet"
    assert "Installing" not in clone.run("test").stdout
    assert "Installing" not in clone.run("open").stdout, "what tests need includes what the app needs"
    with (clone.path / "pyproject.toml").open("a") as file:
        file.write("# changed\n")
    done = clone.run("open")
    assert "Installing" in done.stdout and "Making a virtual environment" not in done.stdout


def test_tests_get_their_arguments_and_hand_their_exit_code_back(clone):
    clone.calls()
    assert clone.run("test", "-k", "one or two", "-x").returncode == 0
    *checks, tests = clone.calls()
    assert checks == ['["ruff", "check", "."]', '["mypy"]']
    assert tests.startswith('["pytest", ') and tests.endswith(', "-k", "one or two", "-x"]')
    (clone.path / "fail").touch()
    assert clone.run("test").returncode == 3
    assert len(clone.calls()) == 3, "every check runs, whatever the one before it said"
    assert clone.run("open").returncode == 3
    (clone.path / "fail").unlink()


def test_a_failing_installation_shows_why_and_is_tried_again(clone):
    good = (clone.path / "pyproject.toml").read_text("utf-8")
    clone.calls()
    clone.write("pyproject.toml", PYPROJECT.replace('"backend"', '"no_such_backend"'))
    done = clone.run("open")
    assert done.returncode == 1 and "could not be installed" in done.stderr
    assert "no_such_backend" in done.stderr, "pip's own words are shown"
    assert clone.calls() == []
    (clone.path / "pyproject.toml").write_text(good, "utf-8")
    assert clone.run("open").returncode == 0


@pytest.mark.parametrize("arguments", [(), ("fly",), ("open", "wide")])
def test_wrong_usage(clone, arguments):
    done = clone.run(*arguments)
    assert done.returncode == 2
    assert "packaging/setup_tlstudio.py test" in done.stderr


# --- system packages: real programs stand where apt and sudo do -------------------------------------------------------


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script on a Debian where one library is missing that only a package of the older name has."""
    spec = importlib.util.spec_from_file_location("setup_tlstudio", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "WITH_SCREEN", {"libnowhere.so.7": ("libnowhere7t64", "libnowhere7")})
    monkeypatch.setattr(module, "FONT_FOLDERS", (str(tmp_path),))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    for name, program in {
        "apt-get": f'echo "$@" >> "{tmp_path}/apt-calls"',
        "apt-cache": '[ "$3" != libnowhere7t64 ] && echo "Package: $3"',
        "sudo": "exit 1",
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{program}\n")
        (tmp_path / name).chmod(0o755)
    return module


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="system packages are a matter of Linux")


@on_linux
def test_without_rights_the_one_command_is_printed(script, tmp_path):
    with pytest.raises(script.SetupError) as caught:
        script.provide_system_packages(sys.executable, {"libnowhere.so.7"})
    assert (
        "    sudo sh -c 'apt-get update && apt-get install -y --no-install-recommends fonts-dejavu-core libnowhere7'\n"
    ) in str(caught.value)
    assert not (tmp_path / "apt-calls").exists()


@on_linux
def test_what_this_command_does_not_need_does_not_stop_it(script):
    script.provide_system_packages(sys.executable, set())


@on_linux
def test_with_rights_the_packages_are_installed(script, tmp_path, capsys):
    (tmp_path / "sudo").write_text('#!/bin/sh\nshift\nexec "$@"\n')
    with pytest.raises(script.SetupError):
        script.provide_system_packages(sys.executable, {"libnowhere.so.7"})
    assert (tmp_path / "apt-calls").read_text().splitlines() == [
        "update", "install -y --no-install-recommends fonts-dejavu-core libnowhere7",
    ]  # fmt: skip
    assert "Installing system packages: fonts-dejavu-core libnowhere7" in capsys.readouterr().out


def test_an_old_python_looks_for_a_newer_one(script, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(script.SetupError, match=r"needs Python 3\.11 or newer"):
        script.find_interpreter()
    (tmp_path / "python3.12").symlink_to(sys.executable)
    assert script.find_interpreter() == str(tmp_path / "python3.12")


# --- lists that must not fall behind ---------------------------------------------------------------------------------


def test_every_package_is_listed_for_installation():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "tlstudio").rglob("__init__.py")} | {
        "tlstudio.resources"
    }
    assert set(project["tool"]["setuptools"]["packages"]) == found


def test_every_dependency_has_an_upper_bound():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(one for extra in extras.values() for one in extra)]
    for requirement in wanted:
        if requirement in {f"{project['name']}[{extra}]" for extra in extras}:  # its own extra, looked at itself
            continue
        assert ">=" in requirement and "<" in requirement.partition(";")[0], requirement


def test_the_readme_s_commands_are_the_script_s():
    lines = [line.strip() for line in (ROOT / "README.md").read_text("utf-8").splitlines()]
    for verb in ("open", "test"):
        assert f"python3 packaging/{SCRIPT.name} {verb}" in lines
    assert f"python3 packaging/{SCRIPT.name} test" in (ROOT / ".ci" / "run").read_text("utf-8")
