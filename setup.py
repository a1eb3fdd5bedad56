"""Metadata of nefertari-search-tween.

Kept in setup.py, and plain, because the stack that the package extends is built with
setuptools<66: it must be readable by that and by today's setuptools alike.
"""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def read(name):
    path = HERE / name
    return path.read_text(encoding="utf-8") if path.exists() else ""


setup(
    name="nefertari-search-tween",
    version="0.1.0",
    description="A Pyramid tween that mirrors nefertari's models in Elasticsearch",
    long_description=read("README.rst") + "\n\n" + read("CHANGES.rst"),
    long_description_content_type="text/x-rst",
    author="the nefertari_search_tween authors",
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords="nefertari pyramid tween search elasticsearch mirror",
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Framework :: Pyramid",
        "Intended Audience :: Developers",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.9",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Database",
        "Topic :: Internet :: WWW/HTTP :: Indexing/Search",
    ],
    packages=find_packages(include=["nefertari_search_tween", "nefertari_search_tween.*"]),
    include_package_data=True,
    zip_safe=False,
    python_requires=">=3.9",
    install_requires=[
        # nefertari uses pyramid.security.authenticated_userid, which Pyramid 2 took out.
        "pyramid>=1.10,<2",
        "PasteDeploy",
        "WebOb",
        "venusian",
        "nefertari>=0.7,<0.8",
        "elasticsearch>=8.18,<10",
        "luqum>=1.0",
        # Words that are similar to those of a search box.
        "rapidfuzz>=3.9",
        "click",
        "rich",
    ],
    extras_require={
        # nefertari-sqla uses the _decl_class_registry that SQLAlchemy 1.4 took out.
        "sqla": ["nefertari-sqla>=0.4.2", "SQLAlchemy>=1.3,<1.4"],
        # opensearch-py 3 needs Python 3.10.
        "opensearch": ["opensearch-py>=2.8"],
        # Answers that are kept (nefertari_search.cache).
        "cache": ["dogpile.cache>=1.4", "cachetools>=5", "redis>=5"],
        # What workers tell Prometheus.
        "metrics": ["prometheus-client>=0.19"],
        "test": [
            "pytest",
            "webtest",
            "requests",
            "hypothesis",
            "pytest-xdist",
            "pyramid-retry",
            'opensearch-py; python_version >= "3.10"',
            "prometheus-client",
            "PyMySQL",
            "dogpile.cache",
            "cachetools",
            "redis",
            "gunicorn",
        ],
    },
    entry_points={
        "console_scripts": [
            "nefertari-search = nefertari_search_tween.scripts.main:main",
            # nefertari's own of this name imports its search before the application is made, and
            # fails at that with today's clients. Installed after it, this one takes its place.
            "nefertari.index = nefertari_search_tween.scripts.nefertari_index:main",
            # So do those of nefertari-guards.
            "nefertari-guards.count_ace = nefertari_search_tween.scripts.guards:count_ace",
            "nefertari-guards.update_ace = nefertari_search_tween.scripts.guards:update_ace",
        ],
        "paste.app_factory": ["main = nefertari_search_tween.app_factory:main"],
    },
)
