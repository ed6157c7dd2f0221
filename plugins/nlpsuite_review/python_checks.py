"""What can be said of Python code without a model: by its syntax tree, never by running it."""

from __future__ import annotations

import ast
import builtins
import re
import threading
import warnings
from collections.abc import Iterator

from nlpsuite_review.checks import Finding

__all__ = ["check_fragment", "check_python", "functions", "parse_fragment"]

_LONG_FUNCTION = 80  # lines
_BUILTINS = {name for name in dir(builtins) if name.islower() and not name.startswith("_")}
_MUTABLE_CALLS = {"list", "dict", "set", "bytearray", "collections.defaultdict", "collections.OrderedDict"}
# Dotted name of a call to what is wrong with it.
_DANGEROUS = {
    "pickle.load": "unpickling runs code that the data chooses",
    "pickle.loads": "unpickling runs code that the data chooses",
    "dill.load": "unpickling runs code that the data chooses",
    "dill.loads": "unpickling runs code that the data chooses",
    "marshal.loads": "marshal data can crash or mislead the interpreter",
    "os.system": "runs a shell; subprocess.run with a list needs none",
    "os.popen": "runs a shell; subprocess.run with a list needs none",
    "tempfile.mktemp": "another process can take the name first; use mkstemp",
}
_DEBUGGERS = {"breakpoint", "pdb.set_trace", "ipdb.set_trace", "pudb.set_trace"}
_LEAVES = (ast.Return, ast.Raise, ast.Break, ast.Continue)
_CHANGES = {"append", "insert", "remove", "pop", "clear", "extend", "add", "discard", "popitem", "update"}
_Function = ast.FunctionDef | ast.AsyncFunctionDef
# Warnings are caught in a place that all threads share.
_WARNINGS = threading.Lock()


def check_python(source: str) -> list[Finding]:
    """Findings in a whole module. Takes any text without raising."""
    tree, found = _parse(source)
    if tree is None:
        return found
    found += _Checker(tree, whole=True).findings()
    return found + list(_unused_imports(tree))


def parse_fragment(lines: list[str]) -> tuple[ast.Module | None, int]:
    """Lines out of the middle of a module, as a tree, and by how much its line numbers are too high.

    The blocks that the lines lie in are put before them. None if that does not make sense of them.
    """
    indents = [len(line) - len(line.lstrip()) for line in lines if line.strip() and line.lstrip()[0] != "#"]
    if not indents:
        return None, 0
    lowest, levels = indents[0], {0} if indents[0] else set()
    for indent in indents:
        if indent < lowest:
            levels.add(indent)
            lowest = indent
    last = next(line for line in reversed(lines) if line.strip())
    tail = [" " * (len(last) - len(last.lstrip()) + 1) + "pass"] if last.rstrip().endswith(":") else []
    for opening in ("if 1:", "try:"):
        before = [" " * level + opening for level in sorted(levels)]
        tree, _ = _parse("\n".join([*before, *lines, *tail]))
        if tree is not None:
            return tree, len(before)
        if not levels:
            break
    return None, 0


def check_fragment(lines: list[str]) -> list[Finding]:
    """Findings in lines out of the middle of a module, numbered from 1.

    What can't be told without the rest of the module (imports, a syntax error) is left out.
    """
    tree, offset = parse_fragment(lines)
    if tree is None:
        return list(_by_pattern(lines))
    found = _Checker(tree, whole=False).findings()
    moved = [(f, (f.line or 0) - offset) for f in found]
    return [Finding(line, f.severity, f.message, f.rule) for f, line in moved if 1 <= line <= len(lines)]


def functions(tree: ast.Module) -> list[tuple[str, int, int]]:
    """Name, first and last line of every function and method that lies in no other function."""
    found = []
    waiting: list[tuple[ast.AST, str]] = [(tree, "")]
    while waiting:
        node, prefix = waiting.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, _Function):
                found.append((prefix + child.name, child.lineno, child.end_lineno or child.lineno))
            elif isinstance(child, ast.stmt):
                waiting.append(
                    (child, f"{prefix}{child.name}." if isinstance(child, ast.ClassDef) else prefix)
                )
    return sorted(found, key=lambda function: function[1])


def _parse(source: str) -> tuple[ast.Module | None, list[Finding]]:
    """The tree, or None; and what the parser itself has to say."""
    lines = source.count("\n") + 1
    with _WARNINGS, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            tree = ast.parse(source)
        except SyntaxError as error:
            line = min(max(1, error.lineno or 1), lines)
            return None, [Finding(line, "error", f"syntax error: {error.msg}", "syntax-error")]
        except (ValueError, RecursionError, MemoryError) as error:
            return None, [
                Finding(None, "error", f"can't be parsed: {error or 'nested too deep'}", "syntax-error")
            ]
    escapes = [w for w in caught if "invalid escape" in str(w.message)]
    return tree, [
        Finding(w.lineno, "warning", f"{w.message}; use a raw string or \\\\", "invalid-escape")
        for w in escapes
    ]


class _Checker:
    """One walk over a tree. Keeps its own stack: code may be nested deeper than Python recurses."""

    def __init__(self, tree: ast.Module, whole: bool) -> None:
        self._tree, self._whole = tree, whole
        self._names = dict(_imported(tree))
        # A script talks on stdout; elsewhere a print was most likely for debugging.
        script = any(isinstance(n, ast.Compare) and _dotted(n.left) == "__name__" for n in ast.walk(tree))
        self._prints = not script and not (whole and {"argparse", "click"} & set(self._names.values()))

    def findings(self) -> list[Finding]:
        found = []
        # A fragment may lie in a class, whose attributes hide nothing.
        stack: list[tuple[ast.AST, bool]] = [(self._tree, not self._whole)]
        while stack:
            node, in_class = stack.pop()
            found += [Finding(line, *what) for line, *what in self._judge(node, in_class)]
            inside = isinstance(node, ast.ClassDef) or (in_class and not isinstance(node, _Function))
            stack += [(child, inside) for child in ast.iter_child_nodes(node)]
        return found

    def _judge(self, node: ast.AST, in_class: bool) -> Iterator[tuple[int, str, str, str]]:
        """Line, severity, message and rule of each thing wrong with one node."""
        if isinstance(node, _Function):
            yield from self._function(node, in_class)
        elif isinstance(node, ast.Call):
            yield from self._call(node)
        elif isinstance(node, ast.ExceptHandler):
            yield from _handler(node)
        elif isinstance(node, ast.Compare):
            yield from _comparison(node)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            if node.id in _BUILTINS and not in_class:
                yield node.lineno, "info", f"{node.id} hides the builtin of that name", "shadowed-builtin"
        elif isinstance(node, ast.Assert) and isinstance(node.test, ast.Tuple) and node.test.elts:
            yield (
                node.lineno,
                "error",
                "assert of a tuple is always true; drop the parentheses",
                "assert-tuple",
            )
        elif isinstance(node, ast.Raise) and "NotImplemented" in (_dotted(node.exc), _callee(node.exc)):
            yield (
                node.lineno,
                "error",
                "NotImplemented is no exception; raise NotImplementedError",
                "raise-value",
            )
        elif isinstance(node, ast.Dict):
            yield from _repeated_keys(node)
        elif isinstance(node, ast.For | ast.AsyncFor):
            yield from _changed_while_looping(node)
        for _, body in ast.iter_fields(node):
            if isinstance(body, list):
                for statement, after in zip(body, body[1:]):
                    if isinstance(statement, _LEAVES) and isinstance(after, ast.stmt):
                        yield after.lineno, "warning", "this line is never reached", "unreachable"
                        break

    def _function(self, node: _Function, in_class: bool) -> Iterator[tuple[int, str, str, str]]:
        arguments = node.args
        for default in [*arguments.defaults, *filter(None, arguments.kw_defaults)]:
            if self._mutable(default):
                message = f"mutable default argument of {node.name}: all calls share it"
                yield default.lineno, "warning", message, "mutable-default"
        names = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        for name in [*names, *filter(None, (arguments.vararg, arguments.kwarg))]:
            if name.arg in _BUILTINS:
                yield name.lineno, "info", f"{name.arg} hides the builtin of that name", "shadowed-builtin"
        if node.name in _BUILTINS and not in_class:
            yield node.lineno, "info", f"{node.name} hides the builtin of that name", "shadowed-builtin"
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > _LONG_FUNCTION:
            yield (
                node.lineno,
                "info",
                f"{node.name} has {length} lines; it may do several things",
                "long-function",
            )

    def _mutable(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Call):
            return self._resolved(node.func) in _MUTABLE_CALLS
        return isinstance(node, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp)

    def _call(self, node: ast.Call) -> Iterator[tuple[int, str, str, str]]:
        name = self._resolved(node.func)
        keywords = {keyword.arg: keyword.value for keyword in node.keywords}
        line = node.lineno
        if name in ("eval", "exec") and node.args and not isinstance(node.args[0], ast.Constant):
            yield line, "warning", f"{name} runs any code that its text holds", "eval"
        elif name in _DANGEROUS:
            rule = (
                "shell" if name.startswith("os.") else "temporary-file" if "mktemp" in name else "unsafe-load"
            )
            yield line, "warning", f"{name}: {_DANGEROUS[name]}", rule
        elif name == "yaml.load" and "Safe" not in (
            _dotted(keywords.get("Loader")) or "" if keywords else ""
        ):
            if len(node.args) < 2:
                yield line, "warning", "yaml.load can run code; use yaml.safe_load", "unsafe-load"
        elif name.startswith("subprocess.") and _is_true(keywords.get("shell")):
            yield line, "warning", "shell=True: the text is a shell's to interpret; pass a list", "shell"
        elif name in _DEBUGGERS:
            yield line, "warning", f"{name} stops the program", "breakpoint"
        elif name == "print" and self._prints and "file" not in keywords:
            yield line, "info", "print: left over from debugging?", "debug-print"
        verify = keywords.get("verify")
        if (
            name.startswith(("requests.", "httpx."))
            and isinstance(verify, ast.Constant)
            and verify.value is False
        ):
            yield line, "warning", "verify=False: the server's certificate is not checked", "no-verify"

    def _resolved(self, node: ast.expr) -> str:
        """The dotted name of what is called, its import undone: ``loads`` is ``pickle.loads``."""
        name = _dotted(node) or ""
        head, dot, rest = name.partition(".")
        return self._names.get(head, head) + dot + rest


def _handler(node: ast.ExceptHandler) -> Iterator[tuple[int, str, str, str]]:
    broad = node.type is None or _dotted(node.type) in ("Exception", "BaseException")
    if node.type is None and not any(isinstance(n, ast.Raise) and n.exc is None for n in node.body):
        yield node.lineno, "warning", "bare except also catches Ctrl-C and SystemExit", "bare-except"
    elif broad and all(isinstance(statement, ast.Pass) for statement in node.body):
        yield node.lineno, "warning", "every error is swallowed in silence", "swallowed-error"


def _comparison(node: ast.Compare) -> Iterator[tuple[int, str, str, str]]:
    sides = [node.left, *node.comparators]
    for operator, left, right in zip(node.ops, sides, sides[1:]):
        if isinstance(operator, ast.Eq | ast.NotEq):
            if any(isinstance(side, ast.Constant) and side.value is None for side in (left, right)):
                better = "is" if isinstance(operator, ast.Eq) else "is not"
                yield node.lineno, "warning", f"compare with None by '{better}'", "none-comparison"
        elif isinstance(operator, ast.Is | ast.IsNot):
            for side in (left, right):
                if isinstance(side, ast.Constant) and type(side.value) in (str, bytes, int, float):
                    yield node.lineno, "error", "'is' compares identity; use == for a value", "is-literal"
                    break


def _repeated_keys(node: ast.Dict) -> Iterator[tuple[int, str, str, str]]:
    seen = set()
    for key in node.keys:
        if isinstance(key, ast.Constant):
            marked = (type(key.value), key.value)
            if marked in seen:
                yield (
                    key.lineno,
                    "warning",
                    f"the key {key.value!r} stands twice; the last one counts",
                    "repeated-key",
                )
            seen.add(marked)


def _changed_while_looping(node: ast.For | ast.AsyncFor) -> Iterator[tuple[int, str, str, str]]:
    looped = _dotted(node.iter)
    if looped is None:
        return
    for inner in (n for statement in node.body for n in ast.walk(statement)):
        method = inner.func if isinstance(inner, ast.Call) else None
        if isinstance(method, ast.Attribute) and method.attr in _CHANGES and _dotted(method.value) == looped:
            yield method.lineno, "warning", f"{looped} is changed while it is looped over", "changed-in-loop"


def _unused_imports(tree: ast.Module) -> Iterator[Finding]:
    if not any(isinstance(n, ast.Call | _Function | ast.ClassDef) for n in ast.walk(tree)):
        return  # a module of imports hands them on
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for node in ast.walk(tree):  # names in __all__ and in annotations that are strings
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 200:
            used.update(re.findall(r"\w+", node.value))
    # `try: import x` asks whether x is there.
    asked = {id(n) for t in ast.walk(tree) if isinstance(t, ast.Try) for s in t.body for n in ast.walk(s)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Import | ast.ImportFrom) or id(node) in asked:
            continue
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            continue
        for alias in node.names:
            bound = alias.asname or alias.name.split(".")[0]
            if bound not in used and bound != "*" and alias.asname != alias.name:
                yield Finding(alias.lineno, "warning", f"{bound} is imported and never used", "unused-import")


def _imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Bound name and full name of every import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                head = alias.name.split(".")[0]
                yield (alias.asname, alias.name) if alias.asname else (head, head)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _dotted(node: ast.AST | None) -> str | None:
    """``a.b.c`` of such an expression, else None."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else None


def _callee(node: ast.AST | None) -> str | None:
    return _dotted(node.func) if isinstance(node, ast.Call) else None


def _is_true(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


_PATTERNS = [
    (
        re.compile(r"^\s*except\s*:"),
        "warning",
        "bare except also catches Ctrl-C and SystemExit",
        "bare-except",
    ),
    (re.compile(r"[=!]=\s*None\b"), "warning", "compare with None by 'is' or 'is not'", "none-comparison"),
    (re.compile(r"^\s*(?:breakpoint|i?pdb\.set_trace)\("), "warning", "stops the program", "breakpoint"),
    (
        re.compile(r"(?<![\w.])(?:eval|exec)\((?![\"'])"),
        "warning",
        "runs any code that its text holds",
        "eval",
    ),
    (re.compile(r"\bshell\s*=\s*True\b"), "warning", "shell=True: pass a list instead", "shell"),
    (
        re.compile(r"\bpickle\.loads?\("),
        "warning",
        "unpickling runs code that the data chooses",
        "unsafe-load",
    ),
    (re.compile(r"^\s*print\("), "info", "print: left over from debugging?", "debug-print"),
]


def _by_pattern(lines: list[str]) -> Iterator[Finding]:
    """The few faults that show in a line, for lines that make no sense by themselves."""
    for number, line in enumerate(lines, 1):
        code = line.split(" #")[0]
        for pattern, severity, message, rule in _PATTERNS:
            if not code.lstrip().startswith("#") and pattern.search(code):
                yield Finding(number, severity, message, rule)
