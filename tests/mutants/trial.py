"""Plants one fault and runs the tests that may notice it."""

import ast
from collections.abc import Collection
from pathlib import Path

from tests.mutants import processes, replaced
from tests.mutants.mutations import Mutation
from tests.mutants.suite import Measured, Recorder, run_tests

CAUGHT = ("killed", "import", "timeout", "crash")
# Which tests may notice a fault in a module of a package, beside those of the module's own name.
# Not among them are those that start processes of their own, which import the files as they are.
TESTS = {
    "data": ("data/test_augment.py", "data/test_crops_on_decode.py", "data/test_pipeline.py"),
    "evaluation": ("evaluation/test_*.py",),
    "export": ("export/test_verify*.py", "export/test_export.py", "export/test_failing.py"),
    "models": ("models/test_*.py",),
    "training": ("training/test_optim*.py", "training/test_step.py", "training/test_recipes.py"),
    "weights": ("weights/test_*.py",),
}
# Where the test file of a module has another name.
OWN = {
    "keras_classics/models/conversion.py": "weights/test_files.py",
    "keras_classics/models/docstrings.py": "models/test_registry.py",
    "keras_classics/models/resnet_v2_keras.py": "models/test_resnet.py",
    "keras_classics/weights/caffe_records.py": "weights/test_records.py",
    "keras_classics/weights/formats/archives.py": "weights/test_refused_files.py",
    "keras_classics/weights/formats/caffe_files.py": "weights/test_caffe.py",
    "keras_classics/weights/formats/caffe_graph.py": "weights/test_caffe.py",
    "keras_classics/weights/formats/hdf5.py": "weights/test_files.py",
    "keras_classics/weights/formats/heaps.py": "weights/test_refused_files.py",
    "keras_classics/weights/formats/onnx.py": "weights/test_onnx_files.py",
    "keras_classics/weights/formats/onnx_constants.py": "weights/test_onnx_files.py",
    "keras_classics/weights/formats/onnx_lenet.py": "weights/test_onnx_files.py",
    "keras_classics/weights/formats/onnx_steps.py": "weights/test_onnx_files.py",
    "keras_classics/weights/formats/protobuf.py": "weights/test_caffe.py",
    "keras_classics/weights/formats/state_dicts.py": "weights/test_checkpoints.py",
    "keras_classics/weights/formats/steps.py": "weights/test_onnx_files.py",
    "keras_classics/weights/identify.py": "weights/test_files.py",
    "keras_classics/weights/load.py": "weights/test_files.py",
    "keras_classics/weights/stored.py": "weights/test_refused_files.py",
}
LEFT_OUT = ("tests/models/test_backends.py", "tests/weights/test_live.py")
PATIENCE = 600.0


class Trial:
    """Tries mutations against the tests of their modules.

    Args:
        root: The checkout.
        measured: What tests call.
        budget: Processor seconds of tests, as they were measured, for one mutation.
        grace: Processor seconds for a fork beside those of its tests, before it counts as hanging.
        own_alone: Whether a module that has a test file of its name is tried against that alone.
    """

    def __init__(
        self,
        root: Path,
        measured: Measured,
        budget: float,
        grace: float = 60,
        own_alone: bool = False,
    ) -> None:
        self.root = root.absolute()
        self.measured = measured
        self.budget = budget
        self.grace = grace
        self.own_alone = own_alone

    def run(self, mutation: Mutation) -> tuple[str, str]:
        """Plants a mutation.

        Returns:
            How it ended and a detail for the report. It ends as "killed" by a test that failed,
            in an "import" that failed, in a "timeout", in a "crash" of the process, as
            "survived", or as "untested", if no test calls the function.
        """
        text = mutation.apply((self.root / mutation.module).read_text())
        try:
            ast.parse(text)
        except SyntaxError:
            return "import", "no Python"
        own, others = self.files(mutation.module)
        end = "untested", "no test"
        spent = 0.0
        for files in (own,) if own and self.own_alone else (own, others):
            wanted, seconds = self._select(mutation, files, self.budget - spent)
            spent += seconds
            if wanted:
                end = self._try(mutation, text, wanted, seconds)
            if end[0] in CAUGHT:
                break
        return end

    def _try(
        self, mutation: Mutation, text: str, wanted: list[str], seconds: float
    ) -> tuple[str, str]:
        ended = self._run(wanted, seconds, {self.root / mutation.module: text})
        number = f"{len(wanted)} tests of {seconds:.0f} s"
        if ended.timed_out:
            return "timeout", number
        if ended.result is None:
            return "crash", f"status {ended.status}"
        status, failed = ended.result
        if status == 0:
            return "survived", number
        if not failed:
            return "import", f"pytest's status {status}"
        return "killed", failed

    def _select(
        self, mutation: Mutation, files: list[str], budget: float
    ) -> tuple[list[str], float]:
        """Returns the tests of some files for a mutation, in order, and how long they take.

        Tests that call the function come first, the cheapest file before the others. The rest of
        such a file follows, because its tests may share what another one has built; so does all
        of a file that calls the function on import alone. Values at the top of a module count as
        called by every test that calls a function of it.
        """
        ranked = []
        for file in files:
            found = self.measured.of(file)
            passed = {test: ran for test, ran in found["tests"].items() if ran["passed"]}
            direct = {test for test, ran in passed.items() if _calls(ran["calls"], mutation)}
            if direct or _calls(found["at_import"], mutation):
                tests = sorted(
                    (test not in direct, passed[test]["seconds"], test) for test in passed
                )
                cost = sum(seconds for other, seconds, _ in tests if not other)
                ranked.append((not direct, cost, tests))
        wanted: list[str] = []
        spent = 0.0
        for *_, tests in sorted(ranked):
            for _, seconds, test in tests:
                if spent + seconds <= budget:
                    wanted.append(test)
                    spent += seconds
        return wanted, spent

    def files(self, module: str) -> tuple[list[str], list[str]]:
        """The test file of a module's own name, and the others of its package."""
        package = Path(module).parts[1]
        tests = self.root / "tests"
        own = list(tests.glob(OWN.get(module, f"{package}/test_{Path(module).stem}.py")))
        others = {path for pattern in TESTS.get(package, ()) for path in tests.glob(pattern)}
        groups = own, sorted(others.difference(own))
        own, others = ([p.relative_to(self.root).as_posix() for p in group] for group in groups)
        return own, [path for path in others if path not in LEFT_OUT]

    def _run(self, wanted: list[str], seconds: float, texts: dict[Path, str]) -> processes.Ended:
        def work() -> tuple[int, str]:
            replaced.replace_sources(texts)
            recorder = Recorder(wanted)
            files = dict.fromkeys(test.split("::")[0] for test in wanted)
            status = run_tests(files, "-x", recorder=recorder)
            failed = [test for test, ran in recorder.tests.items() if not ran["passed"]]
            return status, failed[0] if failed else ""

        return processes.run_forked(work, 4 * seconds + self.grace, 20 * (seconds + self.grace))

    def unsound(self, tests: Collection[str]) -> set[str]:
        """Returns those of some tests that do not pass without any fault.

        A failure of such a test says nothing about a fault.
        """

        def work() -> list[str]:
            recorder = Recorder(sorted(tests))
            run_tests(
                dict.fromkeys(test.split("::")[0] for test in sorted(tests)), recorder=recorder
            )
            return [test for test, ran in recorder.tests.items() if ran["passed"]]

        if not tests:
            return set()
        return set(tests).difference(
            processes.run_forked(work, PATIENCE, 4 * PATIENCE).result or ()
        )


def _calls(calls: list[str], mutation: Mutation) -> bool:
    """Whether one of the calls is of the mutated function, or of one inside it."""
    name = f"{mutation.module}:{mutation.function}"
    inside = name if not mutation.function else f"{name}."
    return any(call == name or call.startswith(inside) for call in calls)
