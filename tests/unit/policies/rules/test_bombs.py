"""What small text could make large: every expression and file is refused with its place, or costs next to nothing."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from policies import check
from policies.errors import ExpressionError, PolicyError
from policies.rules.cel import CelEngine
from policies.rules.compile import compile_policy
from policies.rules.expression import Outcome, Truth, Values, VariableType
from policies.rules.limits import MACROS
from policies.rules.load import parse_source
from policies.rules.tree import parse_tree

Change = Callable[..., str]
VARIABLES: dict[str, VariableType] = {"n": "double", "word": "string"}
VALUES: Values = {"n": 5.0, "word": "assessed"}
FAST_S = 0.5
"""Far above what compiling or evaluating takes (some ms), far below what the bombs took (1.7 s and more)."""


def ones(count: int) -> str:
    return f"[{','.join(['1'] * count)}]"


BOMBS = {
    "parentheses": ("(" * 1500 + "n > 1.0" + ")" * 1500, "nests deeper than 32"),
    "lists": ("[" * 1500 + "1" + "]" * 1500 + ".size() > 0 && n > 1.0", "nests deeper than 32"),
    "conditionals": ("n > 1.0 ? true : " * 200 + "false", "nests deeper than 32"),
    "indexes": ("[0]" + "[0]" * 1000 + " == 1 && n > 1.0", "nests deeper than 32"),
    "members": ("n" + ".a" * 1000 + " > 1.0", "nests deeper than 32"),
    "sums": ("n" + " + n" * 1000 + " > 1.0", "nests deeper than 32"),
    "divisions": ("n" + " / n" * 1000 + " > 1.0", "nests deeper than 32"),
    "joined strings": ("'x'" + " + 'x'" * 500 + " == 'y' || n > 1.0", "nests deeper than 32"),
    "minus signs": ("-" * 3000 + "n > 1.0", "column 17: more than 16 signs in a row"),
    "not signs": ("!" * 3000 + "(n > 1.0)", "column 17: more than 16 signs in a row"),
    "nested macros": (
        f"{ones(9)}.all(a, {ones(9)}.all(b, {ones(9)}.all(c, a + b + c > 0 && n > 0.0)))",
        "column 75: an expression has at most 2 of all, exists",
    ),
    "doubled strings": (
        f"['xx']{'.map(x, x + x)' * 26}.size() > 0 && n > 1.0",
        "column 36: an expression has at most 2",
    ),
    "doubled lists": (f"[[1]]{'.map(x, x + x)' * 22}.size() > 0 && n > 1.0", "column 35: an expression has at"),
    "long lists in macros": (f"{ones(60)}.map(a, {ones(60)}).size() > 0 && n > 1.0", "at most 100 names, numbers"),
    "long strings in macros": (f"['x'].all(a, a == '{'x' * 2000}') && n > 1.0", "at most 1000 characters"),
    "a huge double": ("n > 1e999", "column 5: 1e999 is too large"),
    "many digits": (f"n > {'9' * 3000}.0", "column 5: 9+ is too large"),
    "a huge integer": ("n > 1.0 && 99999999999999999999 > 1", "column 12: invalid int literal"),
    "a repeated repetition": ("word.matches('((a{1000}){1000}){1000}') && n > 1.0", "column 14: .*repetition size"),
    "a back reference": (r"word.matches(r'(a)\1') && n > 1.0", "column 14: .*invalid escape sequence"),
    "half a pattern": ("n > 1.0 ||\n word.matches('(')", "line 2, column 15 of the expression: .*missing [)]"),
    "half a character": ("n > 1.0 || word == '\ud800'", "column 21: half a character"),
}


class TestExpressions:
    @pytest.mark.parametrize(("source", "message"), BOMBS.values(), ids=BOMBS)
    def test_a_bomb_is_refused_quickly_and_says_where(self, source: str, message: str) -> None:
        began = time.perf_counter()
        with pytest.raises(ExpressionError, match=message) as caught:
            CelEngine().compile(source, VARIABLES)
        assert time.perf_counter() - began < FAST_S
        assert len(str(caught.value)) < 500

    @pytest.mark.parametrize(
        ("source", "truth"),
        [
            (f"{ones(18)}.map(a, {ones(18)}.map(b, a + b)).size() > 0 && n > 0.0", Truth.TRUE),
            (f"['{'a' * 800}'].all(a, !a.matches('(a|aa)*b')) && n > 0.0", Truth.TRUE),
            (f"'{'a' * 3900}!'.matches('^(a+)+$') || n > 9.0", Truth.FALSE),
            (" && ".join(["n > 1.0"] * 370), Truth.TRUE),
            ("9223372036854775807 + int(n) > 0", Truth.ERROR),
            ("int(n) * 9223372036854775807 > 0", Truth.ERROR),
            ("int(n * 1e300) > 0", Truth.ERROR),
            ("int(n) % 0 == 1", Truth.ERROR),
            ("n > double('nan')", Truth.ERROR),
            ("n < double('inf')", Truth.ERROR),
            ("n < double('7.5')", Truth.TRUE),
            ("n + double(int(n)) > 9.0", Truth.TRUE),
        ],
    )
    def test_what_is_let_through_ends_soon_with_a_verdict_or_an_error(self, source: str, truth: Truth) -> None:
        assert len(source) <= 4096
        engine = CelEngine()
        began = time.perf_counter()
        assert engine.evaluate(engine.compile(source, VARIABLES), VALUES).truth is truth
        assert time.perf_counter() - began < FAST_S

    @pytest.mark.parametrize("depth", [1, 8, 16, 31, 32, 33, 64, 400])
    def test_brackets_at_the_edge_of_what_is_allowed_are_judged_or_refused(self, depth: int) -> None:
        engine = CelEngine()
        source = "(" * depth + "n > 1.0" + ")" * depth
        if depth > 32:
            with pytest.raises(ExpressionError, match="nests deeper than 32"):
                engine.compile(source, VARIABLES)
        else:
            assert engine.evaluate(engine.compile(source, VARIABLES), VALUES) == Outcome(Truth.TRUE)

    def test_no_iteration_goes_uncounted(self) -> None:
        others = [
            "existsOne(x, x > 0)",
            "transformList(i, x, x).size() > 0",
            "sortBy(x, x) == [1]",
            "`map`(x, x) == [1]",
        ]
        for other in [*others, "transformMap(k, v, v).size() > 0", "fold(a, b, a) > 0", "reduce(a, b, a) > 0"]:
            with pytest.raises(ExpressionError):
                CelEngine().compile(f"n > 1.0 || [1].{other}", VARIABLES)
        for name in MACROS:
            body = "x" if name == "map" else "x > 0"
            ending = "" if name in ("all", "exists", "exists_one") else ".size() > 0"
            assert CelEngine().compile(f"n > 1.0 || [1].{name}(x, {body}){ending}", VARIABLES).names == {"n"}

    def test_a_raw_string_that_ends_in_a_backslash_hides_nothing(self) -> None:
        hidden = ".map(x, x + x)" * 20
        for quote in ("'", '"', "'''", '"""'):
            source = f"[r{quote}\\{quote}]{hidden}.size() > 0 || word == r{quote}a{quote}"
            with pytest.raises(ExpressionError):
                CelEngine().compile(source, VARIABLES)

    def test_thousands_of_random_expressions_each_end_soon(self) -> None:
        numbers = random.Random(6)
        pieces = [
            "n > 1.0",
            "n",
            "(",
            ")",
            "[1]",
            ".map(x, x)",
            ".all(x, x > 0)",
            "'a'",
            " / ",
            " > ",
            " && ",
            " || ",
            "!",
        ]
        engine = CelEngine()
        compiled = 0
        for _ in range(1500):
            source = "".join(numbers.choice(pieces) for _ in range(numbers.randint(1, 9)))
            began = time.perf_counter()
            try:
                predicate = engine.compile(source, VARIABLES)
            except ExpressionError:
                continue
            assert engine.evaluate(predicate, VALUES).truth in Truth
            assert time.perf_counter() - began < FAST_S, source
            compiled += 1
        assert compiled > 5


class TestFiles:
    def test_a_bomb_in_an_expression_names_file_line_and_field(self, change: Change) -> None:
        bomb = f"['x']{'.map(x, x + x)' * 26}.size() > 0 && n > 1.0 && tox_p95 > 0.8"
        with pytest.raises(PolicyError) as caught:
            compile_policy(parse_source(change(("n >= 50.0 && tox_p95 > 0.80", bomb)), "p.yaml"), CelEngine())
        assert [(one.file, one.line, one.field) for one in caught.value.findings] == [("p.yaml", 11, "when")]
        (finding,) = [
            one for one in check.lint_text(change(("tox_p95 < 0.60", bomb)), "p.yaml") if one.level == "error"
        ]
        assert finding.field in ("clear", "actions[1].verify.expr")

    def test_half_a_character_in_a_file_is_a_finding(self, change: Change) -> None:
        with pytest.raises(PolicyError):
            parse_source(change(("owner: risk@example.org", 'owner: "\\ud800"')), "p.yaml")
        with pytest.raises(PolicyError):
            parse_source(change(('"n >= 50.0 && tox_p95 > 0.80"', "\"n > 1.0 || '\\ud800' == ''\"")), "p.yaml")

    def test_tests_have_a_bound_together(self, change: Change) -> None:
        test = '  - {name: long, step: 1s, series: {n: "1x9000"}, expect: [{at: 8999s, state: ok}]}\n'
        text = change(("tests:\n", "tests:\n" + test * 3))
        (finding,) = check.lint_text(text, "p.yaml")
        assert (finding.line, finding.field) == (26, "tests[2]")
        assert "at most 20000 steps together" in finding.message
        assert check.lint_text(change(("tests:\n", "tests:\n" + test * 2)), "p.yaml") == []

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "f:1: error: a: anchors are not allowed"),
            ("a: [*b]\n", r"f:1: error: a\[0\]: aliases are not allowed"),
            ("a: 1\nb: !!python/object/apply:os.system ['true']\n", "f:2: error: b: tags are not allowed"),
            ("a: 1\n!!binary b: 1\n", "f:2: error: a key must be a plain word"),
            ("a: !!timestamp 2026-11-28\n", "f:1: error: a: tags are not allowed"),
            ("a: 1\nb: {c: 1, c: 2}\n", "f:2: error: b.c: this key stands here twice"),
            ("a: 1\n<<: {b: 2}\n", "f:2: error: merge keys are not allowed"),
            ("a: 1\n---\nb: 1\n", "f:2: error: a second document"),
            ("%TAG ! tag:example.org,2026:\n---\na: !x 1\n", "f:3: error: a: tags are not allowed"),
            ("a: " + "[" * 30_000, "f:1: error: a(\\[0\\])+: nested deeper than 16"),
            ("- " * 30_000 + "a", "nested deeper than 16"),
            ("a: |\n" + "  x\n" * 20_000, "f:1: error: the file has 80005 bytes"),
            ("? " * 20_000 + "a", "a key must be a plain word"),
            ("a: '" + "\\" * 60_000, "f:1: error: not valid YAML"),
        ],
    )
    def test_what_yaml_can_do_beyond_plain_values_is_refused_with_its_line(self, text: str, message: str) -> None:
        began = time.perf_counter()
        with pytest.raises(PolicyError, match=message) as caught:
            parse_tree(text, "f")
        assert time.perf_counter() - began < FAST_S
        assert len(str(caught.value)) < 500
