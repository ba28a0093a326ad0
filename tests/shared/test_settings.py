"""Settings come from the environment or from files; a secret is never shown, nor taken in a URL."""

from pathlib import Path

import pytest

from shared.errors import BadSettings
from shared.settings import is_named, load

SECRET = "hush-hush-8271"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACET_SECRETS_DIR", str(tmp_path))
    return tmp_path


def test_a_file_of_the_secrets_folder_is_a_setting(folder: Path) -> None:
    (folder / "facet_nivoda_password").write_text(f"{SECRET}\n")
    (folder / "facet_pool_size").write_text("7")
    given = load()
    assert given.nivoda_password is not None
    assert given.nivoda_password.get_secret_value() == SECRET
    assert given.pool_size == 7
    assert is_named("FACET_NIVODA_PASSWORD")
    assert not is_named("FACET_NIVODA_URL")


def test_the_environment_goes_before_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "facet_pool_size").write_text("7")
    monkeypatch.setenv("FACET_POOL_SIZE", "5")
    assert load().pool_size == 5


def test_a_secrets_folder_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACET_SECRETS_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(BadSettings, match=r"FACET_SECRETS_DIR: .*nowhere") as caught:
        load()
    assert caught.value.hint


@pytest.mark.parametrize("userinfo", [f"ana:{SECRET}", f"{SECRET}", f":{SECRET}"])
def test_an_address_with_a_name_or_password_is_refused_without_showing_it(userinfo: str) -> None:
    with pytest.raises(BadSettings, match=r"FACET_NIVODA_URL: .*FACET_NIVODA_PASSWORD") as caught:
        load({"FACET_NIVODA_URL": f"https://{userinfo}@api.example/api/diamonds"})
    assert SECRET not in str(caught.value)


def test_an_address_may_have_an_at_sign_further_on() -> None:
    assert load({"FACET_NIVODA_URL": "https://api.example/@team/diamonds"}).nivoda_url


def test_settings_do_not_print_what_is_secret() -> None:
    given = load(
        {"FACET_NIVODA_PASSWORD": SECRET, "FACET_DATABASE_URL": f"postgresql://a:{SECRET}@h/d"}
    )
    assert SECRET not in repr(given)
    assert SECRET not in repr(given.model_dump())
