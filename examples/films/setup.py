from setuptools import find_packages, setup

setup(
    name="films",
    version="1.0",
    description="A film catalogue: the example application of nefertari_search_tween",
    packages=find_packages(),
    python_requires=">=3.9",
    install_requires=["nefertari", "nefertari-sqla", "waitress"],
    extras_require={"data": ["bokeh_sampledata"]},
    entry_points={
        "paste.app_factory": ["main = films:main"],
        "console_scripts": ["films-load = films.load:main"],
    },
)
