"""`config.pbtxt`: a parser of its text that follows Triton's grammar and reports every fault.

protobuf's own Python parser stops at the first fault, words it differently from the C++ parser in
Triton, disagrees with it here and there (octal numbers, for one) and keeps no line numbers.
"""

from collections.abc import Iterator

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from tritongen.config.parsed_config import (
    ParsedConfig,
    StopParsing,
    TextFaults,
    did_you_mean,
    map_path,
)
from tritongen.config.pbtxt_tokens import (
    Scalar,
    Token,
    TokenKind,
    ValueFault,
    scalar,
    tokenize,
    unquote,
    whole,
)
from tritongen.config.protobuf import Message, is_repeated, new_model_config
from tritongen.model.findings import Finding, Location, Severity, finding
from tritongen.model.merge_marks import CODE, merge_marks

__all__ = ["MAX_CONFIG_BYTES", "Message", "ParsedConfig", "map_path", "parse_config"]

# A configuration has a few kilobytes; this many are a mistake or an attack. Whoever reads the file
# need not read more than this and one byte.
MAX_CONFIG_BYTES = 4 * 2**20
_CLOSING = {"{": "}", "<": ">", "[": "]"}


def parse_config(text: str, path: str) -> ParsedConfig:
    """Reads the text of one configuration; never raises for what the text holds.

    Args:
        text: of the file; bytes that are no UTF-8 stand as U+FFFD (``errors="replace"``).
        path: of the file, for the findings.
    """
    message = new_model_config()
    if len(text) > MAX_CONFIG_BYTES:
        return ParsedConfig(path, message, {}, (_too_large(path),))
    if conflict := merge_marks(text):
        return ParsedConfig(path, message, {}, (_unmerged(path, conflict),))
    faults = TextFaults(path)
    parser = ConfigParser(tokenize(text), faults)
    parser.parse(message)
    return ParsedConfig(path, message, parser.lines, tuple(faults.findings))


def _unmerged(path: str, conflict: str) -> Finding:
    return finding(CODE, Severity.ERROR, conflict, path=path)


def _too_large(path: str) -> Finding:
    limit = MAX_CONFIG_BYTES // 2**20
    return Finding(
        "TG466",
        Severity.ERROR,
        f"the file is larger than {limit} MiB and was not read",
        location=Location(path),
    )


class ConfigParser:
    """Fills one message from the tokens of a text."""

    def __init__(self, tokens: Iterator[Token], faults: TextFaults) -> None:
        self._source = tokens
        self._tokens: list[Token] = []
        self._at = 0
        self._faults = faults
        self.lines: dict[str, int] = {}

    def parse(self, message: Message) -> None:
        """Reads all fields of the top level; the message holds what could be read."""
        seen: dict[str, str] = {}
        try:
            while self._peek().kind is not TokenKind.END:
                self._field(message, "", seen)
        except StopParsing:
            return

    # -- tokens -----------------------------------------------------------------------------

    def _token(self, at: int) -> Token:
        """The token at a place, read as far as needed; beyond the end the last one."""
        tokens = self._tokens
        while at >= len(tokens):
            following = next(self._source, None)
            if following is None:
                return tokens[-1]
            tokens.append(following)
        return tokens[at]

    def _peek(self) -> Token:
        at = self._at
        token = self._tokens[at] if at < len(self._tokens) else self._token(at)
        if token.kind is TokenKind.BAD:
            self._faults.stop(token, token.complaint, "")
        return token

    def _next(self) -> Token:
        token = self._peek()
        if token.kind is not TokenKind.END:
            self._at += 1
        return token

    def _try(self, *texts: str) -> Token | None:
        token = self._peek()
        if token.kind is TokenKind.SYMBOL and token.text in texts:
            return self._next()
        return None

    def _skip_value(self) -> None:
        """Passes over one value of whatever form, brackets balanced."""
        stack: list[str] = []
        while True:
            token = self._peek()
            if token.kind is TokenKind.END:
                return
            is_symbol = token.kind is TokenKind.SYMBOL
            if is_symbol and token.text in _CLOSING:
                stack.append(_CLOSING[token.text])
            elif (
                is_symbol
                and token.text in _CLOSING.values()
                and (not stack or stack.pop() != token.text)
            ):
                return
            self._next()
            if not stack and not (is_symbol and token.text == "-"):
                break
        while token.kind is TokenKind.STRING and self._peek().kind is TokenKind.STRING:
            self._next()

    # -- fields -----------------------------------------------------------------------------

    def _field(self, message: Message, prefix: str, seen: dict[str, str]) -> None:
        name = self._next()
        if name.kind is TokenKind.SYMBOL and name.text == "[":
            self._extension(message.DESCRIPTOR, name, prefix)
            return
        if name.kind is not TokenKind.IDENTIFIER:
            self._faults.stop(name, f"Expected identifier, got: {name.text}", prefix)
        descriptor: Descriptor = message.DESCRIPTOR
        field = descriptor.fields_by_name.get(name.text)
        if field is None:
            self._unknown(descriptor, name, prefix)
            return
        path = f"{prefix}.{name.text}" if prefix else name.text
        if name.text == "value" and descriptor.GetOptions().map_entry:
            path = prefix  # the fields of an entry's value count as the entry's own
        self._check_presence(message, field, name, path, seen)
        self._value(message, field, name, path)
        self._try(";", ",")

    def _extension(self, descriptor: Descriptor, bracket: Token, prefix: str) -> None:
        parts: list[str] = []
        while self._peek().kind is not TokenKind.END and self._try("]") is None:
            parts.append(self._next().text)
        complaint = (
            f'Extension "{"".join(parts)}" is not defined or is not an extension of '
            f'"{descriptor.full_name}".'
        )
        self._faults.stop(bracket, complaint, prefix)

    def _unknown(self, descriptor: Descriptor, name: Token, prefix: str) -> None:
        path = f"{prefix}.{name.text}" if prefix else name.text
        complaint = f'Message type "{descriptor.full_name}" has no field named "{name.text}".'
        fix = did_you_mean(name.text, descriptor.fields_by_name)
        self._faults.add("field", name, complaint, path, fix)
        self._try(":")
        self._skip_value()
        self._try(";", ",")

    def _check_presence(
        self,
        message: Message,
        field: FieldDescriptor,
        name: Token,
        path: str,
        seen: dict[str, str],
    ) -> None:
        if is_repeated(field):
            return
        if field.name in seen and _is_set(message, field):
            complaint = f'Non-repeated field "{field.name}" is specified multiple times.'
            self._faults.add("twice", name, complaint, path, "Keep one of the two.")
        oneof = field.containing_oneof
        other = seen.get(f"oneof {oneof.name}") if oneof else None
        if oneof and other and other != field.name:
            complaint = (
                f'Field "{field.name}" is specified along with field "{other}", another member of '
                f'oneof "{oneof.name}".'
            )
            self._faults.add("oneof", name, complaint, path, f"Keep `{other}` or `{field.name}`.")
        seen[field.name] = field.name
        if oneof:
            seen.setdefault(f"oneof {oneof.name}", field.name)

    def _value(self, message: Message, field: FieldDescriptor, name: Token, path: str) -> None:
        is_message = field.message_type is not None
        if self._try(":") is None and not is_message:
            found = self._peek()
            self._faults.add("syntax", found, f'Expected ":", found "{found.text}".', path)
            if found.kind is TokenKind.SYMBOL and found.text != "-":
                self._pass_over(found)
                return
        self.lines.setdefault(path, name.line)
        if not (is_repeated(field) and self._try("[")):
            self._element(message, field, path)
            return
        if self._try("]"):
            return
        while True:
            self._element(message, field, path)
            if self._try("]"):
                return
            if self._try(",") is None:
                found = self._peek()
                self._faults.stop(found, f'Expected "]", found "{found.text}".', path)

    def _element(self, message: Message, field: FieldDescriptor, path: str) -> None:
        if field.message_type is None:
            self._scalar(message, field, path)
            return
        opening = self._try("{", "<")
        if opening is None:
            found = self._peek()
            fix = "Remove the comma before it." if found.text == "]" else ""
            self._faults.add("type", found, f'Expected "{{", found "{found.text}".', path, fix)
            if found.text != "]":
                self._skip_value()
            return
        if field.message_type.GetOptions().map_entry:
            self._map_entry(message, field, field.message_type, opening, path)
        elif is_repeated(field):
            items = getattr(message, field.name)
            child = f"{path}[{len(items)}]"
            self.lines[child] = opening.line
            self._body(items.add(), opening, child)
        else:
            target = getattr(message, field.name)
            target.SetInParent()
            self._body(target, opening, path)

    def _body(self, message: Message, opening: Token, path: str) -> None:
        closing = _CLOSING[opening.text]
        seen: dict[str, str] = {}
        while True:
            token = self._peek()
            if token.kind is TokenKind.SYMBOL and token.text in {"}", ">"}:
                break
            if token.kind is TokenKind.END:
                place = f"line {opening.line}"
                complaint = "Expected identifier, got: "
                self._faults.add(
                    "syntax", token, complaint, path, f"Close the `{opening.text}` of {place}."
                )
                raise StopParsing
            self._field(message, path, seen)
        if token.text != closing:
            self._faults.stop(token, f'Expected "{closing}", found "{token.text}".', path)
        self._next()

    # -- maps and scalars -------------------------------------------------------------------

    def _map_entry(
        self,
        message: Message,
        field: FieldDescriptor,
        entry_type: Descriptor,
        opening: Token,
        path: str,
    ) -> None:
        """One entry; the last one of a key holds, as in Triton."""
        fields, target = entry_type.fields_by_name, getattr(message, field.name)
        child = map_path(path, self._key_ahead(fields["key"]))
        if child in self.lines:
            complaint = f"{child} is given more than once; Triton keeps the last one"
            self._faults.remark("TG601", opening, complaint, child)
        self.lines[child] = opening.line
        entry: Message = target.GetEntryClass()()
        self._body(entry, opening, child)
        if fields["value"].message_type is not None:
            target[entry.key].CopyFrom(entry.value)
        else:
            target[entry.key] = entry.value

    def _key_ahead(self, key_field: FieldDescriptor) -> str | int:
        """The entry's key, looked up before its value is read so that paths can name it."""
        is_text = key_field.cpp_type == FieldDescriptor.CPPTYPE_STRING
        depth, at = 0, self._at
        while depth >= 0:
            token = self._token(at)
            at += 1
            if token.kind in {TokenKind.END, TokenKind.BAD}:
                break
            if token.kind is TokenKind.SYMBOL:
                depth += (token.text in "{<[") - (token.text in "}>]")
            if depth == 0 and token.kind is TokenKind.IDENTIFIER and token.text == "key":
                if self._token(at).text == ":":
                    at += 1
                return self._text_at(at) if is_text else self._whole_at(at)
        return "" if is_text else 0

    def _text_at(self, at: int) -> str:
        parts: list[str] = []
        while self._token(at).kind is TokenKind.STRING:
            parts.append(unquote(self._token(at).text)[0])
            at += 1
        return "".join(parts)

    def _whole_at(self, at: int) -> int:
        token = self._token(at)
        return whole(token.text) if token.kind is TokenKind.INTEGER else 0

    def _scalar(self, message: Message, field: FieldDescriptor, path: str) -> None:
        token = self._peek()
        is_text = field.cpp_type == FieldDescriptor.CPPTYPE_STRING
        if is_text and token.kind is TokenKind.STRING:
            value: Scalar | None = self._text(token, path)
        else:
            value = self._plain(field, path)
        if value is None:
            return
        if is_repeated(field):
            items = getattr(message, field.name)
            self.lines[f"{path}[{len(items)}]"] = token.line
            items.append(value)
        else:
            setattr(message, field.name, value)

    def _text(self, first: Token, path: str) -> str:
        """A text, which may be written in several parts."""
        parts: list[tuple[str, bool]] = []
        while self._peek().kind is TokenKind.STRING:
            parts.append(unquote(self._next().text))
        if not all(valid for _, valid in parts):
            self._faults.remark("TG602", first, f"{path} holds bytes that are not UTF-8", path)
        return "".join(text for text, _ in parts)

    def _plain(self, field: FieldDescriptor, path: str) -> Scalar | None:
        """A number or word; None after a fault, which is then reported."""
        minus = self._try("-")
        token = self._peek()
        try:
            value = scalar(token, minus, field)
        except ValueFault as fault:
            self._faults.add(fault.kind, minus or token, fault.complaint, path, _fix(field, token))
            self._pass_over(token)
            return None
        self._next()
        return value

    def _pass_over(self, token: Token) -> None:
        """After a value of the wrong type: the value too, unless it is a closing bracket."""
        if token.kind is TokenKind.SYMBOL and token.text not in {"{", "<", "["}:
            if token.text not in {"]", "}", ">"}:
                raise StopParsing
            return
        self._skip_value()


def _is_set(message: Message, field: FieldDescriptor) -> bool:
    """Whether protobuf takes a field for set: a number that is 0, say, does not count."""
    if field.has_presence:
        return bool(message.HasField(field.name))
    return bool(getattr(message, field.name) != field.default_value)


def _fix(field: FieldDescriptor, token: Token) -> str:
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return "Put the value in double quotes."
    if token.kind is TokenKind.STRING:
        return "Write it without quotes."
    if field.enum_type is not None and token.kind is TokenKind.IDENTIFIER:
        return did_you_mean(token.text, field.enum_type.values_by_name)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return "Write true or false."
    return "Remove the comma before it." if token.text == "]" else ""
