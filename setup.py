"""Build of mmdynamicvis: metadata, extras, and the `.mim` folder that mim reads from a wheel."""

import re
import shutil
import tempfile
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent
MIM_SOURCES = ('configs', 'tools', 'model-index.yml')
# Parts of tools that are of use only in a checkout.
OF_CHECKOUTS = ('__pycache__', 'benchmark', 'demo.py', 'dev', 'synthetic')


def read_version() -> str:
    """Return the version, read as text because importing the package would require torch."""
    text = (ROOT / 'mmdynamicvis/version.py').read_text(encoding='utf-8')
    return re.search(r"__version__ = '(.+)'", text).group(1)


def read_requirements(name: str) -> dict[str, list[str]]:
    """Return the requirements in a file: `# [heading]` -> lines; '' has lines before headings."""
    sections = {'': []}
    current = sections['']
    for line in (ROOT / 'requirements' / name).read_text(encoding='utf-8').splitlines():
        heading = re.fullmatch(r'# \[(\w+)\]', line)
        if heading:
            current = sections.setdefault(heading.group(1), [])
        elif line and not line.startswith('#'):
            current.append(line)
    return sections


def read_extras() -> dict[str, list[str]]:
    """Return the extras: the sections of optional.txt, `all` (all of them except ssm) and `dev`."""
    extras = {name: lines for name, lines in read_requirements('optional.txt').items() if name}
    merged = {line for name, lines in extras.items() if name != 'ssm' for line in lines}
    extras['all'] = sorted(merged)
    extras['dev'] = read_requirements('tests.txt')['']
    return extras


def copy_for_mim(folder: Path) -> None:
    """Copy the files that mim looks up to ``folder/.mim``."""
    target = folder / '.mim'
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in MIM_SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns(*OF_CHECKOUTS))
        else:
            shutil.copy2(source, target / name)


class BuildWithMim(build_py):
    """Copies the files that mim looks up to `mmdynamicvis/.mim` of the build, not of the checkout.

    An editable install gets no copies: mim's root is then the repository, where it finds the
    originals, and a second file with the same basename would be an error.
    """

    def run(self) -> None:
        """Build the package, then add the copies."""
        super().run()
        if self.editable_mode:
            return
        copy_for_mim(Path(self.build_lib, 'mmdynamicvis'))


class WheelForBothMims(bdist_wheel):
    """Also puts the copies into the dist-info folder.

    openmim looks for them in the package. onedl-mim 0.5.1 treats the folder of the first installed
    file as the package, and for this distribution the dist-info folder sorts first.
    """

    def egg2dist(self, egginfo_path: str, distinfo_path: str) -> None:
        """Create the dist-info folder, then add the copies."""
        super().egg2dist(egginfo_path, distinfo_path)
        copy_for_mim(Path(distinfo_path))


class SdistWithoutEggInfo(sdist):
    """Omits the egg-info, which is outside the checkout; PKG-INFO has the same content."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        """Copy the files to the folder that is packed."""
        egg_info = self.get_finalized_command('egg_info').egg_info
        super().make_release_tree(base_dir, [f for f in files if not f.startswith(egg_info)])


# Build products go to a temporary folder: an egg-info left in the checkout would shadow the
# editable install whenever Python starts there, and a stale build folder would end up in the next
# wheel.
with tempfile.TemporaryDirectory(prefix='mmdynamicvis-build-') as scratch:
    setup(
        name='mmdynamicvis',
        version=read_version(),
        description='DynamicVis, a dynamic remote-sensing backbone, for OpenMMLab projects',
        long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
        long_description_content_type='text/markdown',
        license='Apache-2.0',
        license_files=['LICENSE'],
        keywords='remote sensing, computer vision, state space model, OpenMMLab',
        classifiers=[
            'Development Status :: 4 - Beta',
            'Intended Audience :: Science/Research',
            'Programming Language :: Python :: 3.10',
            'Programming Language :: Python :: 3.11',
            'Programming Language :: Python :: 3.12',
            'Programming Language :: Python :: 3.13',
            'Topic :: Scientific/Engineering :: Artificial Intelligence',
            'Topic :: Scientific/Engineering :: GIS',
        ],
        packages=find_packages(include=['mmdynamicvis', 'mmdynamicvis.*']),
        package_data={
            'mmdynamicvis.ops.cpu': ['*.cpp', '*.h'],
            'mmdynamicvis.zoo': ['*.md', '*.safetensors'],
        },
        python_requires='>=3.10',
        install_requires=read_requirements('runtime.txt')[''],
        extras_require=read_extras(),
        cmdclass={
            'bdist_wheel': WheelForBothMims,
            'build_py': BuildWithMim,
            'sdist': SdistWithoutEggInfo,
        },
        options={'build': {'build_base': scratch}, 'egg_info': {'egg_base': scratch}},
        zip_safe=False,
    )
