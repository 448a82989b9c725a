"""How a package that says `cimport fastflow._core` is built: all it must know is get_include()."""

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup

import fastflow

include = [fastflow.get_include(), numpy.get_include()]
setup(
    name="downstream",
    ext_modules=cythonize(Extension("downstream", ["downstream.pyx"], include_dirs=include)),
)
