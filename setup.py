"""Builds the native modules; everything else about the package stands in pyproject.toml.

    fastflow/NAME.pyx ──Cython──▶ build/VARIANT/cython-VERSION/fastflow/NAME.c
                      ──C compiler──▶ build/VARIANT/lib/fastflow/NAME.*.so ──▶ fastflow/NAME.*.so

(the last arrow only for an editable installation).  Each way of building has a folder of its own,
so that changing over neither mixes objects nor compiles again what is still good:

    variant     asked for by                  what differs
    release                                   -O3, no checks
    debug       FASTFLOW_DEBUG=1              bounds and None checked, assertions on
    tsan        FASTFLOW_SANITIZE=thread      ThreadSanitizer
    asan        FASTFLOW_SANITIZE=address     AddressSanitizer and UndefinedBehaviorSanitizer
    *-NAME      FASTFLOW_PLANT=NAME           with the fault -DFF_PLANT_NAME, for a check to find

`make` knows which to use when.
"""

import os
import sys
import sysconfig
import tomllib
from pathlib import Path

import Cython
import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# In every variant: no multiplication and addition are fused, so a float sum has the same bits on
# every machine.  For the same reason there is no -ffast-math; and no -march=native, since a wheel
# must run elsewhere: kernels that gain from wide registers choose them at run time.
SAME_EVERYWHERE = ["-ffp-contract=off", "-pthread"]

SANITIZERS = {
    "thread": ("tsan", ["-fsanitize=thread"]),
    "address": ("asan", ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]),
}

debug = os.environ.get("FASTFLOW_DEBUG", "0") not in ("", "0")
sanitize = os.environ.get("FASTFLOW_SANITIZE", "")
plant = os.environ.get("FASTFLOW_PLANT", "")

if sanitize and sanitize not in SANITIZERS:
    sys.exit(
        f"FASTFLOW_SANITIZE: got {sanitize!r}, expected one of {', '.join(SANITIZERS)}; "
        "or leave it unset"
    )
include = Path(sysconfig.get_path("include"))
if not (include / "Python.h").exists():
    sys.exit(
        f"Python.h: not in {include}, expected the headers of {sys.executable}; "
        "install them (on Debian: apt-get install python3-dev)"
    )

words = ["debug" if debug else "", SANITIZERS[sanitize][0] if sanitize else "", plant]
variant = "-".join(filter(None, words)) or "release"
folder = f"build/{variant}"

with open("pyproject.toml", "rb") as file:
    # tools/annotate.py reads the same table: what it looks at is what is built here.
    directives = tomllib.load(file)["tool"]["fastflow"]["cython-directives"]
macros = [("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")]

if debug:
    directives |= {"boundscheck": True, "initializedcheck": True, "nonecheck": True}
    macros.append(("FASTFLOW_DEBUG", "1"))
    compile_args = ["-O1", "-g", "-UNDEBUG"]            # later than Python's own flags, so they win
else:
    macros.append(("CYTHON_WITHOUT_ASSERTIONS", "1"))   # as -DNDEBUG does for the assertions in C
    compile_args = ["-O3"]
link_args = ["-pthread"]

if sanitize:
    flags = [*SANITIZERS[sanitize][1], "-fno-omit-frame-pointer", "-g", "-O1"]
    compile_args = [*compile_args, *flags]
    link_args = [*link_args, *SANITIZERS[sanitize][1]]
if plant:
    macros.append((f"FF_PLANT_{plant.upper()}", "1"))

headers = sorted(str(path) for path in Path("fastflow").glob("*.h"))
extensions = [
    Extension(
        f"fastflow.{path.stem}",
        [str(path)],
        include_dirs=["fastflow", numpy.get_include()],
        define_macros=macros,
        extra_compile_args=[*compile_args, *SAME_EVERYWHERE],
        extra_link_args=link_args,
        depends=[*headers, "setup.py", "pyproject.toml"],
    )
    for path in sorted(Path("fastflow").glob("_*.pyx"))
]


class BuildExtensions(build_ext):
    """Compiles only what changed, for an editable installation too."""

    def finalize_options(self):
        super().finalize_options()
        if self.editable_mode:
            # pip would have the objects in a temporary folder, and so compile every file each time.
            self.build_temp, self.build_lib = f"{folder}/temp", f"{folder}/lib"


setup(
    ext_modules=cythonize(
        extensions,
        # The C that one Cython wrote is not fit for another's time stamps, hence the version.
        build_dir=f"{folder}/cython-{Cython.__version__}",
        compiler_directives=directives,
    ),
    cmdclass={"build_ext": BuildExtensions},
    options={
        "build": {
            "build_base": folder,
            "build_lib": f"{folder}/lib",
            "build_temp": f"{folder}/temp",
        },
        "build_ext": {"parallel": 2},
    },
)
