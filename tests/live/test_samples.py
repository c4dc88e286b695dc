"""Every sample of samples/, started and called over HTTP exactly as samples/README.md says."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import pytest
from live import DEADLINE, ROOT, Answer, Server

SAMPLES = ROOT / "samples"
ADDRESS = "http://127.0.0.1:5001"
NEEDS = {
    "iris": ("sklearn",),
    "schema": ("inference_schema", "pandas"),
    "binary": ("PIL",),
    "multi-model": ("sklearn",),
}


@dataclass(frozen=True)
class Recipe:
    """A section of samples/README.md: scripts to run first, arguments of azmlinfsrv, arguments of curl."""

    scripts: tuple[str, ...]
    arguments: tuple[str, ...]
    curl: tuple[str, ...]


def read_recipes() -> dict[str, Recipe]:
    """The recipe of each section, by sample: a sentence, then a shell block with a line to start and a line to call."""
    text = (SAMPLES / "README.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## (.+)\n\n.+\n\n```sh\n(.+)\n(.+)\n```$", text, re.MULTILINE)
    return {name: parse(start, call) for name, start, call in sections}


def parse(start: str, call: str) -> Recipe:
    *first, serve = (shlex.split(command) for command in start.split("&&"))
    curl = shlex.split(call)
    assert serve[0] == "azmlinfsrv" and curl[0] == "curl" and all(command[0] == "python" for command in first)
    return Recipe(tuple(script for _, script in first), tuple(serve[1:]), tuple(curl[1:]))


RECIPES = read_recipes()


@dataclass(frozen=True)
class Sample:
    """One sample that is being served; `root` is a folder with a copy of samples/ and stands for the repository."""

    name: str
    root: Path
    server: Server

    @property
    def request(self) -> bytes:
        return (self.root / "samples" / self.name / "sample-request.json").read_bytes()

    def post(self, body: bytes | str, content_type: str = "application/json") -> Answer:
        return self.server.post("/score", body, {"Content-Type": content_type})

    def curl(self) -> bytes:
        """What the README's curl command brings, on its standard output or in the file that it names."""
        arguments = [word.replace(ADDRESS, f"http://127.0.0.1:{self.server.port}") for word in RECIPES[self.name].curl]
        command = ["curl", "--silent", "--show-error", "--fail", "--max-time", f"{DEADLINE:g}", *arguments]
        shown = run(command, self.root)
        written = arguments[arguments.index("--output") + 1] if "--output" in arguments else None
        return (self.root / written).read_bytes() if written else shown


@pytest.fixture(scope="module")
def sample(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    """The sample named by the test's parameter, its model made and its server started as the README says."""
    name = request.param
    missing = [module for module in NEEDS.get(name, ()) if importlib.util.find_spec(module) is None]
    if missing:
        pytest.skip(f"sample {name} needs {', '.join(missing)}")
    root = made_sample(name, tmp_path_factory)
    with Server(*RECIPES[name].arguments, folder=tmp_path_factory.mktemp(name), cwd=root) as server:
        yield Sample(name, root, server)
        assert server.stop() == 0


def served(*names: str) -> pytest.MarkDecorator:
    """Run the test with each of these samples being served."""
    return pytest.mark.parametrize("sample", names, indirect=True, scope="module")


def copy_of_samples(root: Path) -> Path:
    """`root`, with a copy of samples/ in it, so that the working tree stays clean; without what others have made."""
    shutil.copytree(SAMPLES, root / "samples", ignore=shutil.ignore_patterns("outputs", "__pycache__"))
    return root


def made_sample(name: str, folders: pytest.TempPathFactory) -> Path:
    """A folder with a copy of samples/ in it, the model of this sample made as the README says.

    Training takes seconds: it is done once in a run of the tests, by the process that is first.
    """
    own = folders.getbasetemp()
    made = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / f"made-{name}"
    if not made.exists():
        root = copy_of_samples(folders.mktemp(name))
        for script in RECIPES[name].scripts:
            run([sys.executable, script], root)
        with suppress(OSError):  # another was as fast
            root.rename(made)
    root = folders.mktemp(name)
    shutil.copytree(made / "samples", root / "samples")
    return root


def run(command: list[str], cwd: Path) -> bytes:
    done = subprocess.run(command, cwd=cwd, capture_output=True, timeout=DEADLINE)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout!r}\n{done.stderr!r}"
    return done.stdout


def test_every_sample_has_its_files_and_its_lines_in_the_readme() -> None:
    """A folder without a section, and a section without a folder, is a mistake."""
    scripts = {path.parent.name for path in SAMPLES.glob("*/score.py")}
    requests = {path.parent.name for path in SAMPLES.glob("*/sample-request.json")}
    assert scripts == requests == set(RECIPES)


@served(*RECIPES)
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_command_of_the_readme_brings_the_answer_to_the_sample_request(sample: Sample) -> None:
    """What a reader pastes into a shell and what the sample request gets are the same, byte for byte."""
    answer = sample.post(sample.request)
    assert answer.status == 200, sample.server.output()
    assert sample.curl() == answer.body


@served("hello")
def test_hello_greets_by_name(sample: Sample) -> None:
    """The name of the request comes back."""
    assert sample.post(sample.request).json() == {"message": "Hello, Ada!"}


@served("hello")
def test_hello_greets_the_world_without_a_name(sample: Sample) -> None:
    """A GET without a query is an empty request."""
    assert sample.server.get("/score").json() == {"message": "Hello, world!"}


@served("iris")
def test_iris_names_the_species(sample: Sample) -> None:
    """Three flowers, one of each kind, are told apart by the trained model."""
    answer = sample.post(sample.request).json()
    assert answer["species"] == ["setosa", "versicolor", "virginica"]
    assert all(0.5 < probability <= 1 for probability in answer["probability"])


@served("schema")
def test_schema_prices_a_frame_with_an_array(sample: Sample) -> None:
    """Rooms and area times the rates: 3 * 10000 + 82.5 * 2000, and 1 * 10000 + 30 * 2000."""
    assert sample.post(sample.request).json() == {"currency": "EUR", "prices": [195000.0, 70000.0]}


@served("schema")
def test_schema_hands_over_the_standard_parameter_and_fills_in_its_default(sample: Sample) -> None:
    """The text of the request arrives; left out, run()'s default stands in."""
    order = json.loads(sample.request)
    assert sample.post(json.dumps({**order, "currency": "CHF"})).json()["currency"] == "CHF"
    del order["currency"]
    assert sample.post(json.dumps(order)).json()["currency"] == "EUR"


@served("schema")
def test_schema_is_described_in_swagger(sample: Sample) -> None:
    """The samples in the decorators become the documented parameters."""
    definitions = sample.server.get("/swagger.json").json()["definitions"]
    assert set(definitions["ServiceInput"]["properties"]) == {"flats", "rates", "currency"}
    assert set(definitions["ServiceOutput"]["properties"]) == {"currency", "prices"}


@served("binary")
def test_binary_answers_an_image_with_its_thumbnail(sample: Sample) -> None:
    """160 x 80 pixels go in as PNG, 64 x 32 come out as PNG: a golden disc on steel blue."""
    from PIL import Image

    answer = sample.post((sample.root / "samples/binary/sample.png").read_bytes(), "image/png")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/png")
    with Image.open(io.BytesIO(answer.body)) as image:
        assert (image.format, image.size) == ("PNG", (64, 32))
        assert (image.getpixel((32, 16)), image.getpixel((2, 2))) == ((255, 215, 0), (70, 130, 180))


@served("binary")
def test_binary_takes_base64_in_json_too(sample: Sample) -> None:
    """The sample request holds the sample image, so both forms have the same answer."""
    image = (sample.root / "samples/binary/sample.png").read_bytes()
    assert sample.post(sample.request).body == sample.post(image, "image/png").body


@served("binary")
@pytest.mark.parametrize("body", [b"no image", b""])
def test_binary_refuses_what_is_no_image(sample: Sample, body: bytes) -> None:
    """The script answers 400 by itself, so the failure is not blamed on run()."""
    answer = sample.post(body, "image/png")
    assert (answer.status, answer.headers["x-ms-run-function-failed"]) == (400, "False")
    assert answer.json()["message"].startswith("Cannot read the image: ")


def test_binary_sample_image_is_what_its_script_draws(tmp_path: Path) -> None:
    """The committed image can be made again, pixel for pixel."""
    image_module = pytest.importorskip("PIL.Image")
    root = copy_of_samples(tmp_path)
    run([sys.executable, "samples/binary/make_sample.py"], root)
    with (
        image_module.open(root / "samples/binary/sample.png") as drawn,
        image_module.open(SAMPLES / "binary/sample.png") as committed,
    ):
        assert (drawn.size, drawn.tobytes()) == (committed.size, committed.tobytes())


@served("multi-model")
def test_multi_model_answers_with_the_model_that_the_request_names(sample: Sample) -> None:
    """The same two rows, two models, two different answers."""
    rows = json.loads(sample.request)["data"]
    answers = {name: sample.post(json.dumps({"model": name, "data": rows})).json() for name in ("linear", "tree")}
    assert {name: answer["model"] for name, answer in answers.items()} == {"linear": "linear", "tree": "tree"}
    assert answers["linear"]["prediction"] != answers["tree"]["prediction"]
    assert all(25 < value < 346 for answer in answers.values() for value in answer["prediction"])


@served("multi-model")
def test_multi_model_tells_which_models_there_are(sample: Sample) -> None:
    """A name that is not there is a 404 of the script's own."""
    answer = sample.post('{"model": "forest", "data": []}')
    assert (answer.status, answer.json()) == (404, {"message": "No model 'forest'. Models: linear, tree"})


@served("streaming")
def test_streaming_sends_each_word_when_it_is_ready(sample: Sample) -> None:
    """The answer is chunked, and each chunk is one word."""
    with closing(HTTPConnection("127.0.0.1", sample.server.port, timeout=DEADLINE)) as connection:
        connection.request("POST", "/score", sample.request, {"Connection": "close"})
        with connection.getresponse() as response:
            pieces = list(iter(response.read1, b""))
    assert response.headers["Transfer-Encoding"] == "chunked"
    assert pieces == [b"One\n", b"word\n", b"after\n", b"the\n", b"other.\n"]


@served("streaming")
def test_streaming_refuses_a_bad_request_before_the_answer_begins(sample: Sample) -> None:
    """What fails outside of the generator is an ordinary error, not a cut connection."""
    assert sample.post("{}").status == 500
