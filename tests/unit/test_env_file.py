"""`.env`: one file that means the same here and to docker compose, or is refused with the line."""

import io
import re
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import example, given, settings
from hypothesis import strategies as st

from consumer.env_file import EnvFileError, read_env_file
from consumer.settings_parsing import COMPOSE_NAMES, SettingsError, known_names, load_settings
from tests.compose_env import RefusedByComposeError, compose_reads

ROOT = Path(__file__).parents[2]


def ours(path: Path, content: str) -> dict[str, str]:
    path.write_bytes(content.encode())
    return {variable.name: variable.value for variable in read_env_file(path)}


def compose_v1_reads(content: str) -> dict[str, str | None]:
    """python-dotenv, which docker-compose 1.29 uses; it interpolates in single quotes too, where Compose 2 does not."""
    return dict(dotenv_values(stream=io.StringIO(content, newline=None), interpolate=False))


READ = [
    ("A=b", "b"),
    ("A=", ""),
    ("A=   ", ""),
    ("A = b", "b"),
    ("\t export A=b", "b"),
    ("export\tA=b", "b"),
    ("A=two words ", "two words"),
    ("A=b # a comment", "b"),
    ("A=b #", "b"),
    ("A='b' # a comment", "b"),
    ("A='b'#", "b"),
    ('A="b # c"', "b # c"),
    ("A='s3${cr}t%=#'", "s3${cr}t%=#"),
    ("A='$$ $x ${y:-z}'", "$$ $x ${y:-z}"),
    ("A='say \"hi\"'", 'say "hi"'),
    (r"A='\n C:\new'", r"\n C:\new"),
    (r'A="say \"hi\""', 'say "hi"'),
    ('A="it\'s"', "it's"),
    (r"A=C:\new", r"C:\new"),
    ('A={"a": 1, "b": [2]}', '{"a": 1, "b": [2]}'),
    ("A=x=y:z", "x=y:z"),
    ("A=it's", "it's"),
    ("A=é 😀 日本", "é 😀 日本"),
    ("A='\u3000\xa0'", "\u3000\xa0"),
    ("A=b\nA=c", "c"),
    ("A=b\r\n# comment\r\n\r\nA='c'\r\n", "c"),
    ("\ufeffA=b", "b"),
    ("   # A=c\nA=b", "b"),
]

REFUSED = [
    ("A", "cannot be read"),
    ("A: b", "cannot be read"),
    ("A:B=c", "cannot be read"),
    ("'A'=b", "cannot be read"),
    ("A B=c", "cannot be read"),
    ("1A=b", "cannot be read"),
    ("A-B=c", "cannot be read"),
    ("=b", "cannot be read"),
    ("set A=b", "cannot be read"),
    ("a=b", "write A"),
    ("A=$x", r"has \$"),
    ("A=${x}", r"has \$"),
    ("A=a$$b", r"has \$"),
    ('A="$x"', r"has \$ or a backslash"),
    (r'A="a\nb"', r"has \$ or a backslash"),
    (r'A="C:\\new"', r"has \$ or a backslash"),
    ("A=#b", "has #"),
    ("A=b#c", "has #"),
    ("A= # c", "has #"),
    ("A=b\t# c", "has #"),
    ("A='b", "single quote that does not close"),
    ("A='b\nB=c'", "single quote that does not close"),
    ("A='b'c", "single quote that does not close"),
    ("A='it's'", "single quote that does not close"),
    (r"A='it\'s'", "single quote that does not close"),
    (r"A='C:\\new'", "two backslashes"),
    ("A='C:\\'", "two backslashes, or one before"),
    ('A="b', "double quote that does not close"),
    ('A="b"c', "double quote that does not close"),
    ("A=b\rB=c", "control character"),
    ("A=b\0", "control character"),
    ("A=b\x1b[2J", "control character"),
    ("A=\xa0b", "white space"),
    ("A=b\u3000c", "white space"),
]


@pytest.mark.parametrize(("line", "value"), READ)
def test_a_line_that_is_read_means_the_same_to_compose_in_both_its_versions(
    line: str, value: str, tmp_path: Path
) -> None:
    content = f"FIRST=1\n{line}\nLAST=2\n" if not line.startswith("\ufeff") else f"{line}\nFIRST=1\nLAST=2\n"
    expected = {"FIRST": "1", "A": value, "LAST": "2"}
    assert ours(tmp_path / ".env", content) == expected
    assert compose_reads(content) == expected
    assert compose_v1_reads(content) == expected


@pytest.mark.parametrize(("line", "sentence"), REFUSED)
def test_a_line_that_is_no_line_or_means_another_thing_to_compose_is_refused_with_its_number(
    line: str, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(EnvFileError, match=rf"\.env, line 2, .*{sentence}"):
        ours(tmp_path / ".env", f"FIRST=1\n{line}\nLAST=2\n")


def test_every_wrong_line_is_named_and_no_value_is_quoted(empty_directory: Path) -> None:
    (empty_directory / ".env").write_text('HTTP_TOKEN="hunter2$\nINPUT_TOPIC=mine\nhunter2\n')
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert [sentence.split(",")[1] for sentence in str(raised.value).splitlines()] == [" line 1", " line 3"]
    assert "hunter2" not in str(raised.value)


def test_a_secret_in_single_quotes_comes_out_as_it_stands(
    empty_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("cr", "hidden")
    (empty_directory / ".env").write_text("KAFKA_SASL_PASSWORD='s3${cr}t%=#'\n")
    assert load_settings().kafka_sasl_password.get_secret_value() == "s3${cr}t%=#"


def test_what_compose_alone_reads_may_stand_in_the_file_and_what_nobody_reads_may_not(empty_directory: Path) -> None:
    (empty_directory / ".env").write_text("COMPOSE_PROJECT_NAME=mine\nTORCH_INDEX=\nINPUT_TOPIC=mine\n")
    assert load_settings().input_topic == "mine"
    (empty_directory / ".env").write_text("INPUT_TOPIC=mine\nINPUT_TOPICS=mine\n")
    with pytest.raises(SettingsError, match=r"\.env, line 2, has INPUT_TOPICS, .* did you mean INPUT_TOPIC\?"):
        load_settings()


def test_a_file_in_utf16_is_refused_and_a_directory_of_that_name_is_none(empty_directory: Path) -> None:
    (empty_directory / ".env").write_bytes("INPUT_TOPIC=mine\n".encode("utf-16"))
    with pytest.raises(SettingsError, match=r"\.env cannot be read .* save it as UTF-8"):
        load_settings()
    (empty_directory / ".env").unlink()
    (empty_directory / ".env").mkdir()
    assert load_settings().input_topic == "comments"


lines = st.lists(st.sampled_from([*"AB_ \t='\"\\$#{}:-xn1\r\u3000é", "export ", " #", "\\'", '\\"']), max_size=14)


@settings(deadline=None, max_examples=300)
@given(line=lines.map("".join))
@example("A='\\'")
@example("A=b\t#c")
def test_whatever_line_is_read_here_compose_and_python_dotenv_read_alike(
    tmp_path_factory: pytest.TempPathFactory, line: str
) -> None:
    content = f"{line}\n"
    try:
        read = ours(tmp_path_factory.getbasetemp() / ".env", content)
    except EnvFileError:
        return
    assert compose_v1_reads(content) == read
    assert compose_reads(content) == read


@pytest.mark.parametrize("content", ["A=$x", "A='b", "A=${x}"])
def test_the_rules_of_compose_are_rules_that_refuse(content: str) -> None:
    with pytest.raises(RefusedByComposeError):
        compose_reads(content)


def test_every_variable_of_the_compose_file_may_stand_in_the_file() -> None:
    names = set(re.findall(r"\$\{([A-Za-z_]+)", (ROOT / "docker-compose.yml").read_text()))
    assert names <= {*known_names(), *COMPOSE_NAMES}, "add what compose alone reads to COMPOSE_NAMES"
