"""Builds the package once for all tests of this folder (they share one worker, see `pytestmark`)."""

import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Installation:
    """An environment that has the built wheel and, of everything else, only the dependencies."""

    bin: Path

    def run(self, program: str, *arguments: str, cwd: Path) -> str:
        # A home of its own: neither the checkout nor the developer's settings can help out.
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(cwd), "TERM": "dumb"}
        command = [str(self.bin / program), *arguments]
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(CHECKOUT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    python("-m", "hatchling", "build", "--target", "sdist", "--directory", str(folder))
    return only_file(folder, "*.tar.gz")


@pytest.fixture(scope="session")
def installation(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    home = tmp_path_factory.mktemp("installed")
    venv.create(home, with_pip=False, symlinks=True)
    python("-m", "pip", "--python", str(home), "install", "--quiet", "--no-deps", "--no-index", str(wheel))
    # A folder named in a .pth file gives its packages, but its own .pth files (such as that of an editable
    # install of this checkout) are not read.
    paths = sysconfig.get_paths()
    site_packages = only_file(home, "lib/python*/site-packages")
    site_packages.joinpath("dependencies.pth").write_text(f"{paths['purelib']}\n{paths['platlib']}\n")
    return Installation(home / "bin")


def build_wheel(source: Path, folder: Path) -> Path:
    pip_wheel = ("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation")
    python(*pip_wheel, "--wheel-dir", str(folder), str(source))
    return only_file(folder, "*.whl")


def only_file(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def python(*arguments: str) -> None:
    done = subprocess.run([sys.executable, *arguments], cwd=CHECKOUT, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, f"{arguments} failed:\n{done.stdout}{done.stderr}"
