"""Runs function blocks of structured text (IEC 61131-3), as far as the examples need it.

Words, numbers, BOOL and TIME; assignments, IF, TON. Everything else is an error, so that an example
never means something else here than in a PLC. Declared types are not checked.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

Variables = dict[str, Any]
Expression = Callable[[Variables], Any]
Statement = Callable[[Variables], None]

_TOKEN = re.compile(
    r"\s*(T#\d+ms|16#[0-9A-Fa-f]+|\d+|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?|:=|<>|<=|>=|[-+*/()<>=\[\],;])"
)
_LEVELS: list[dict[str, Callable[[Any, Any], Any]]] = [  # weakest first: IEC 61131-3, table 71
    {"OR": operator.or_},
    {"XOR": operator.xor},
    {"AND": operator.and_},
    {"=": operator.eq, "<>": operator.ne},
    {"<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge},
    {"+": operator.add, "-": operator.sub},
    {"*": operator.mul, "MOD": operator.mod},
]
_BOOLEANS = {"TRUE": True, "FALSE": False}
_CONVERSIONS = {"WORD_TO_UINT", "UINT_TO_WORD"}


class Timer:
    """TON: `Q` once `IN` was true for `PT` milliseconds."""

    def __init__(self, clock_ms: Callable[[], float]) -> None:
        self.Q = False
        self._clock_ms = clock_ms
        self._since: float | None = None

    def call(self, IN: bool, PT: float) -> None:
        now = self._clock_ms()
        self._since = (now if self._since is None else self._since) if IN else None
        self.Q = self._since is not None and now - self._since >= PT


class FunctionBlock:
    """An instance of the only function block in a text.

    Attributes:
        variables: name -> value; set the inputs before `call`, read the outputs after it.
    """

    def __init__(self, text: str, clock_ms: Callable[[], float]) -> None:
        code = re.sub(r"\(\*.*?\*\)|//[^\n]*", "", text, flags=re.DOTALL)
        code = re.sub(r"(?<!\w)#", "", code)  # which TIA puts before the names of a block
        code = code.partition("FUNCTION_BLOCK ")[2].partition("END_FUNCTION_BLOCK")[0]
        head, _, body = code.rpartition("END_VAR")
        self.variables: Variables = {}
        for name, kind, first in re.findall(r"(\w+) : ([^;:]+?)(?: := ([^;]+))?;", head):
            self.variables[name] = self._first_value(kind, first, clock_ms)
        parser = _Parser(_tokens(body.replace("BEGIN", "", 1)))
        self._statements = parser.block(())

    def call(self) -> None:
        for statement in self._statements:
            statement(self.variables)

    @staticmethod
    def _first_value(kind: str, first: str, clock_ms: Callable[[], float]) -> Any:
        if kind.startswith("TON"):
            return Timer(clock_ms)
        if kind.lower().startswith("array"):
            return [0] * 15
        return _literal(first) if first else (False if kind == "BOOL" else 0)


def _tokens(code: str) -> list[str]:
    tokens, at = [], 0
    code = code.rstrip()
    while at < len(code):
        found = _TOKEN.match(code, at)
        if found is None:
            raise SyntaxError(f"not understood: {code[at : at + 40]!r}")
        tokens.append(found[1])
        at = found.end()
    return tokens


def _literal(word: str) -> Any:
    if word in _BOOLEANS:
        return _BOOLEANS[word]
    if word.startswith("T#"):
        return int(word[2:-2])
    return int(word[3:], 16) if word.startswith("16#") else int(word)


class _Parser:
    """Turns tokens into calls, by recursive descent."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0

    def block(self, ends: tuple[str, ...]) -> list[Statement]:
        statements = []
        while self._at < len(self._tokens) and self._tokens[self._at] not in ends:
            statements.append(self._if() if self._tokens[self._at] == "IF" else self._simple())
        return statements

    def _next(self, expected: str | None = None) -> str:
        token = self._tokens[self._at]
        if expected not in (None, token):
            raise SyntaxError(f"{expected} expected, not {token}")
        self._at += 1
        return token

    def _if(self) -> Statement:
        self._next("IF")
        condition = self._expression()
        self._next("THEN")
        then = self.block(("ELSE", "END_IF"))
        otherwise: list[Statement] = []
        if self._next() == "ELSE":
            otherwise = self.block(("END_IF",))
            self._next("END_IF")
        self._next(";")

        def run(variables: Variables) -> None:
            for statement in then if condition(variables) else otherwise:
                statement(variables)

        return run

    def _simple(self) -> Statement:
        name = self._next()
        if self._next() == "(":
            return self._call(name)
        value = self._expression()
        self._next(";")

        def assign(variables: Variables) -> None:
            if name not in variables:
                raise NameError(f"{name} is not declared")
            variables[name] = value(variables)

        return assign

    def _call(self, name: str) -> Statement:
        arguments = {}
        while True:
            argument = self._next()
            self._next(":=")
            arguments[argument] = self._expression()
            if self._next() == ")":
                break
        self._next(";")
        return lambda variables: variables[name].call(
            **{key: value(variables) for key, value in arguments.items()}
        )

    def _expression(self, level: int = 0) -> Expression:
        if level == len(_LEVELS):
            return self._operand()
        left = self._expression(level + 1)
        while self._at < len(self._tokens) and self._tokens[self._at] in _LEVELS[level]:
            operation = _LEVELS[level][self._next()]
            left = _binary(operation, left, self._expression(level + 1))
        return left

    def _operand(self) -> Expression:
        word = self._next()
        if word == "NOT":
            value = self._operand()
            return lambda variables: not value(variables)
        if word == "(":
            value = self._expression()
            self._next(")")
            return value
        if word in _CONVERSIONS:
            return self._operand()
        return self._variable(word) if word[0].isalpha() else _constant(word)

    def _variable(self, token: str) -> Expression:
        if token in _BOOLEANS:
            return _constant(token)
        if self._tokens[self._at] == "[":
            self._next("[")
            index = self._expression()
            self._next("]")
            return lambda variables: variables[token][index(variables)]
        name, _, member = token.partition(".")
        return lambda variables: getattr(variables[name], member) if member else variables[name]


def _constant(word: str) -> Expression:
    value = _literal(word)
    return lambda _variables: value


def _binary(
    operation: Callable[[Any, Any], Any], left: Expression, right: Expression
) -> Expression:
    return lambda variables: operation(left(variables), right(variables))
